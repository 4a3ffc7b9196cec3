"""process.selinuxLabel and linux.mountLabel where the kernel has SELinux, with a policy that knows containers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

SELINUX = Path("/sys/fs/selinux")
PROCESS = "system_u:system_r:container_t:s0:c1,c2"
OTHER = "system_u:system_r:container_t:s0:c3"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
SECRET = "system_u:object_r:secret_t:s0"
ATTRIBUTE = "security.selinux"


def known(label: str) -> bool:
    """Whether the loaded policy takes a label."""
    try:
        (SELINUX / "context").write_text(label)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def policy() -> None:
    if not (SELINUX / "enforce").exists():
        pytest.skip("needs a kernel with SELinux")
    for label in (PROCESS, OTHER, FILES):
        if not known(label):
            pytest.skip(f"the loaded SELinux policy does not know {label}")


@pytest.fixture
def enforcing() -> Iterator[None]:
    """What the policy does not allow is denied until the end of the test."""
    file = SELINUX / "enforce"
    before = file.read_text()
    file.write_text("1")
    yield
    file.write_text(before)


def label_of(path: str | Path) -> str:
    return os.getxattr(path, ATTRIBUTE).decode().rstrip("\0")


def test_line_062_the_label_is_the_first_processs_and_every_executed_ones(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    name = started(bundle("sleep", "1000", selinuxLabel=PROCESS, noNewPrivileges=True))
    current = Path(f"/proc/{runner.state(name)['pid']}/attr/current")
    assert current.read_text().rstrip("\0\n") == PROCESS
    look = ("/bin/cat", "/proc/self/attr/current")
    assert runner.ok("exec", name, *look).rstrip("\0\n") == PROCESS
    assert runner.ok("exec", "--process-label", OTHER, name, *look).rstrip("\0\n") == OTHER


def test_line_062_what_the_policy_forbids_the_label_is_denied(
    runner: Any, bundle: Callable[..., Any], enforcing: None
) -> None:
    if not known(SECRET):
        pytest.skip(f"the loaded SELinux policy does not know {SECRET}")
    made = bundle("cat", "/etc/secret")
    (made.rootfs / "etc/secret").write_text("secret\n")
    os.setxattr(made.rootfs / "etc/secret", ATTRIBUTE, SECRET.encode())
    assert runner.out(made) == "secret\n"
    made.config["process"]["selinuxLabel"] = PROCESS
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert (done.returncode, done.stdout) == (1, "")
    assert "Permission denied" in done.stderr


def test_line_062_a_label_that_the_policy_does_not_know_is_named(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("true", selinuxLabel="system_u:system_r:nobody_t:s0")
    done = runner("run", "--bundle", made.path, runner.id())
    assert done.returncode == 1
    assert "nobody_t" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_line_138_filesystems_of_the_container_have_the_mount_label(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sh", "-c", "echo > /dev/shm/file; exec sleep 1000", docker=True, selinuxLabel=PROCESS)
    made.config["linux"]["mountLabel"] = FILES
    name = started(made)
    root = Path(f"/proc/{runner.state(name)['pid']}/root")
    for place in ("dev", "dev/shm", "dev/mqueue"):
        assert label_of(root / place) == FILES, place
    made.config["linux"]["mountLabel"] = "system_u:object_r:nothing_t:s0"
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert done.returncode == 1
    assert "nothing_t" in done.stderr or "mountLabel" in done.stderr
