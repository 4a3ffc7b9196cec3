"""process.apparmorProfile where the kernel has AppArmor: on the first process, on executed ones, and what it denies."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

PROFILE = """
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  capability,
  network,
  file,
  mount,
  umount,
  signal,
  ptrace,
  deny /etc/secret rwklx,
}}
"""
LOOK = "cat /proc/self/attr/current; cat /etc/secret"


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[str]:
    """The name of a loaded profile that allows all but /etc/secret."""
    try:
        enabled = Path("/sys/module/apparmor/parameters/enabled").read_text().strip()
    except OSError:
        enabled = "N"
    if enabled != "Y" or not os.path.isdir("/sys/kernel/security/apparmor"):
        pytest.skip("needs a kernel with AppArmor")
    if not shutil.which("apparmor_parser"):
        pytest.skip("needs apparmor_parser (Debian: apparmor)")
    name = f"railcar-test-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "profile"
    file.write_text(PROFILE.format(name=name))
    subprocess.run(["apparmor_parser", "--add", "--skip-cache", file], check=True, capture_output=True)
    yield name
    subprocess.run(["apparmor_parser", "--remove", file], check=True, capture_output=True)


@pytest.fixture
def secret(bundle: Callable[..., Any]) -> Callable[..., Any]:
    def make(*command: str, **process: Any) -> Any:
        made = bundle(*command, docker=True, **process)
        (made.rootfs / "etc/secret").write_text("secret\n")
        return made.write()

    return make


def said(runner: Any, *arguments: Any) -> tuple[int, str, str]:
    done = runner(*arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("more", [{}, {"noNewPrivileges": True}, {"user": {"uid": 1000, "gid": 1000}}])
def test_line_061_the_profile_is_the_first_processs_and_denies(
    runner: Any, secret: Callable[..., Any], profile: str, more: dict[str, Any]
) -> None:
    made = secret("sh", "-c", LOOK, apparmorProfile=profile, **more)
    code, out, errors = said(runner, "run", "--bundle", made.path, runner.id())
    assert (code, out) == (1, f"{profile} (enforce)\n"), errors
    assert "Permission denied" in errors


def test_line_061_without_a_profile_nothing_is_denied(runner: Any, secret: Callable[..., Any], profile: str) -> None:
    made = secret("cat", "/etc/secret")
    assert runner.out(made) == "secret\n"
    made = secret("sh", "-c", LOOK, apparmorProfile="unconfined")
    assert runner.out(made) == "unconfined\nsecret\n"


def test_line_061_executed_programs_have_it_too(
    runner: Any, secret: Callable[..., Any], started: Callable[..., str], profile: str
) -> None:
    name = started(secret("sleep", "1000", apparmorProfile=profile))
    pid = runner.state(name)["pid"]
    assert Path(f"/proc/{pid}/attr/current").read_text() == f"{profile} (enforce)\n"
    code, out, errors = said(runner, "exec", name, "/bin/sh", "-c", LOOK)
    assert (code, out) == (1, f"{profile} (enforce)\n"), errors
    assert "Permission denied" in errors


def test_line_061_exec_asks_for_a_profile_of_its_own(
    runner: Any, secret: Callable[..., Any], started: Callable[..., str], profile: str
) -> None:
    name = started(secret("sleep", "1000"))
    assert said(runner, "exec", name, "/bin/sh", "-c", LOOK)[:2] == (0, "unconfined\nsecret\n")
    code, out, _ = said(runner, "exec", "--apparmor", profile, name, "/bin/sh", "-c", LOOK)
    assert (code, out) == (1, f"{profile} (enforce)\n")


@pytest.mark.usefixtures("profile")
def test_line_061_a_profile_that_is_not_loaded_is_named(runner: Any, secret: Callable[..., Any]) -> None:
    made = secret("true", apparmorProfile="railcar-test-none")
    code, _, errors = said(runner, "run", "--bundle", made.path, runner.id())
    assert code == 1
    assert "railcar-test-none" in errors
    assert len(errors.splitlines()) == 1
