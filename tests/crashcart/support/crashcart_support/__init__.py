"""Containers for crashcart's tests, and what they must look like afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SYSTEM = "sh ps env tty stty id kill mount"
_FILES = "ls cat mkdir rmdir rm ln grep head tail tr wc readlink"
_OTHERS = "sleep echo true false yes test"
APPLETS = f"{_SYSTEM} {_FILES} {_OTHERS}".split()
DEADLINE = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until ``condition`` gives something true; fail after a deadline that no machine needs."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {DEADLINE:.0f} seconds")


def busybox_tree(root: Path) -> Path:
    """bin/ with busybox and its applets."""
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    return root


def default_config(arguments: list[str], root: Path) -> dict[str, Any]:
    """A runtime configuration much like docker's, without cgroups."""
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
    capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
    devices = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": ["PATH=/bin", "MINE=container", "LD_PRELOAD=/evil.so"],
            "cwd": "/",
            "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": False,
        },
        "root": {"path": str(root), "readonly": False},
        "hostname": "container",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            devices,
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": terminals},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "size=1m"]},
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys"],
        },
    }


class Container:
    """A container run by runc: ``pid`` of its first process, ``id`` and the ``state`` directory it is known in."""

    def __init__(self, runtime: str, state: Path, id: str, pid: int, rootfs: Path) -> None:
        self.runtime = runtime
        self.state = state
        self.id = id
        self.pid = pid
        self.rootfs = rootfs

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command by the runtime's own exec."""
        words = [self.runtime, "--root", str(self.state), "exec", self.id, *command]
        return subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End the first process, and with it the container."""
        os.kill(self.pid, signal.SIGKILL)

    def delete(self) -> None:
        words = [self.runtime, "--root", str(self.state), "delete", "--force", self.id]
        subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)


def write_config(config: dict[str, Any], bundle: Path) -> None:
    """Make a directory a bundle."""
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(config))


def children(pid: int) -> list[int]:
    """Of all its threads."""
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


def run_container(runtime: str, base: Path, id: str, config: dict[str, Any], rootfs: Path) -> Container:
    """Start a container from this configuration."""
    bundle = base / f"bundle-{id}"
    write_config(config, bundle)
    state = base / "state"
    words = [runtime, "--root", str(state), "run", "--detach", "--bundle", str(bundle)]
    words += ["--pid-file", str(bundle / "pid"), id]
    with open(bundle / "log", "wb") as log:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    assert done.returncode == 0, (bundle / "log").read_text()
    return Container(runtime, state, id, int((bundle / "pid").read_text()), rootfs)


def stat_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    text = stat_of(pid)
    return text is not None and text.rpartition(")")[2].split()[0] not in "ZX"


def members(pid: int, kind: str = "pid") -> set[int]:
    """Every live process that shares a namespace with ``pid``."""
    mine = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}/ns/{kind}").st_ino == mine and alive(int(name)):
                    found.add(int(name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # gone, or one that this container of a machine may not look at
    return found


def mountinfo(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()


def loop_devices() -> dict[str, str]:
    """Loop devices in use, with the files behind them."""
    found = {}
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found[path.parts[3]] = path.read_text().strip()
        except OSError:
            continue  # freed while we looked
    return found


def temporary_files() -> set[str]:
    """What of ours could have been left in the temporary directories."""
    return {
        name
        for directory in ("/tmp", "/var/tmp", "/dev/shm", "/run")
        for name in os.listdir(directory)
        if "crashcart" in name
    }


class Traces:
    """The state that a session must leave as it found it, of the host and of containers."""

    def __init__(self, image: Path) -> None:
        self.image = str(image)
        self.host = self._mounts()
        self.files = temporary_files()
        self.containers: dict[int, tuple[list[str], list[str], set[int]]] = {}

    def watch(self, pid: int) -> None:
        """From now on, this container (a process of it) must not change."""
        self.containers[pid] = (self._mounts_of(pid), self._devices(pid), self._processes(pid))

    def _mounts_of(self, pid: int) -> list[str]:
        """All mounts of a container; those of ours where its mount namespace is our own."""
        if os.stat(f"/proc/{pid}/ns/mnt").st_ino == os.stat("/proc/self/ns/mnt").st_ino:
            return self._mounts()
        return mountinfo(pid)

    def _processes(self, pid: int) -> set[int]:
        """Those of its pid namespace; none where that is our own, in which others come and go, or has ended."""
        if not alive(pid):
            return set()
        if os.stat(f"/proc/{pid}/ns/pid").st_ino == os.stat("/proc/self/ns/pid").st_ino:
            return set()
        return members(pid)

    def _mounts(self) -> list[str]:
        """The host's mounts that a session could have made: a machine at work mounts other things meanwhile."""
        ours = ("/dev/crashcart", self.image.rpartition("/")[0])
        lines = mountinfo("self")
        return sorted(
            line for line in lines if f"{line.split()[4]}/".startswith("/dev/") or any(mark in line for mark in ours)
        )

    def _devices(self, pid: int) -> list[str]:
        try:
            names = sorted(os.listdir(f"/proc/{pid}/root/dev"))
        except FileNotFoundError:
            return []
        if Path(f"/proc/{pid}/root/dev").stat().st_dev == os.stat("/dev").st_dev:  # loop devices of others come and go
            return [name for name in names if "crashcart" in name or name.startswith(".cc")]
        return names

    def ours(self) -> list[str]:
        """Loop devices behind which the tests' image is."""
        return [device for device, file in loop_devices().items() if file.startswith(self.image.rpartition("/")[0])]

    def check(self) -> None:
        """Wait for what the kernel frees a moment later; then all must be as it was."""
        until(lambda: not self.ours(), f"a loop device of {self.image} is left")
        assert set(self._mounts()) <= set(self.host), "the host has more mounts"
        assert temporary_files() <= self.files, "temporary files are left"
        for pid, (mounts, devices, processes) in self.containers.items():
            if not alive(pid):
                continue
            until(
                lambda pid=pid, processes=processes: self._processes(pid) <= processes,
                "processes of the session are left",
            )
            try:
                now = self._mounts_of(pid), self._devices(pid)
            except OSError:
                until(lambda pid=pid: not alive(pid), "a container that cannot be looked at does not end")
                continue
            assert now[0] == mounts, "the container's mounts changed"
            assert now[1] == devices, "the container's /dev changed"
