"""Roots built where railcar itself is only root of a user namespace, as under rootless podman."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.root

Mountinfo = Callable[[str], dict[str, dict[str, str]]]
# Only root is mapped, so that the group of terminals does not exist there either.
ENTER = ["unshare", "-m", "-U", "-r"]


@pytest.fixture
def rootless(box: Any) -> Any:
    """A box that is built inside a user namespace; its own container makes none."""
    probe = subprocess.run([*ENTER, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot make such a user namespace here: {probe.stderr.strip()}")
    box.config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "pid", "uts", "ipc")]

    def build(script: str, way: str = "mount-api") -> subprocess.CompletedProcess[str]:
        command = [*ENTER, *box.building(script, way=way)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done
        return done

    box.build_inside = build
    return box


WAYS = pytest.mark.parametrize("way", ["mount-api", "mount2"])


@WAYS
def test_line_044_a_sysfs_of_a_network_that_is_not_ours_is_the_hosts(
    rootless: Any, mountinfo: Mountinfo, way: str
) -> None:
    found = mountinfo(rootless.build_inside("cat /proc/self/mountinfo", way).stdout)
    assert found["/sys"]["type"] == "sysfs"
    # The host's cgroups come with it, and must not be writable.
    for place, mount in found.items():
        if place == "/sys" or place.startswith("/sys/"):
            assert {"ro", "nosuid", "nodev", "noexec"} <= set(mount["options"].split(",")), place


@WAYS
def test_line_044_flags_that_the_host_locked_are_kept_when_others_are_added(
    rootless: Any, mountinfo: Mountinfo, way: str
) -> None:
    rootless.add("/shm", "", "/dev/shm", "bind", "ro")
    rootless.add("/proc-of-host", "", "/proc", "rbind", "ro")
    found = mountinfo(rootless.build_inside("cat /proc/self/mountinfo", way).stdout)
    for place in ("/shm", "/proc-of-host"):
        assert "ro" in found[place]["options"].split(",")


@WAYS
def test_line_083_devices_are_bound_where_they_cannot_be_made(rootless: Any, way: str) -> None:
    said = rootless.build_inside(
        "echo x > /dev/null; head -c 4 /dev/zero | wc -c; stat -c '%t:%T' /dev/full", way
    ).stdout
    assert said.split() == ["4", "1:7"]


@WAYS
def test_masks_and_read_only_paths_work_there_too(rootless: Any, way: str) -> None:
    rootless.config["linux"]["maskedPaths"] = ["/proc/keys", "/sys/firmware"]
    rootless.config["linux"]["readonlyPaths"] = ["/proc/sys", "/sys/fs"]
    said = rootless.build_inside("cat /proc/keys | wc -c; echo 1 > /proc/sys/kernel/shmmni || echo ro", way).stdout
    assert said.split() == ["0", "ro"]
