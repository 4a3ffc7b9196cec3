"""Which running container is meant, and its process held fast.

Each module here knows one family of engines and has ``find(text, extra)``: the containers that ``text`` may mean.
"""

from __future__ import annotations

import os

from ocicommon.linux import process
from ocicommon.linux.errors import SyscallError

from crashcart import kernel, procfs, report
from crashcart.errors import CrashcartError
from crashcart.targets.container import Container, choose, split_engine

# In this order: of several records of one process the first is shown. railcar's containers and its kin before those
# that run on top of them would show docker's twice.
_MODULES = {
    "docker": ("docker",),
    "podman": ("podman",),
    "containerd": ("containerd",),
    "state": ("railcar", "runc", "crun", "youki"),
    "nspawn": ("nspawn",),
    "lxc": ("lxc",),
}
_ENGINES = ("pid", *(engine for engines in _MODULES.values() for engine in engines))
_WHOLE_ID = 64
_SIGNAL_NONE = 0
_ESRCH = 3


class Target:
    """A container with its first process pinned: ``pidfd`` (-1 before Linux 5.3) is of exactly that process."""

    __slots__ = ("container", "pid", "pidfd", "start_time")

    def __init__(self, container: Container, pidfd: int, start_time: int) -> None:
        self.container = container
        self.pid = container.pid
        self.pidfd = pidfd
        self.start_time = start_time

    def check(self) -> None:
        """CrashcartError when the process has ended since: what /proc/PID says then may be of another."""
        try:
            stat = procfs.read(f"/proc/{self.pid}/stat")
        except OSError:
            stat = b""
        if not stat or procfs.has_ended(stat) or procfs.parse_start_time(stat) != self.start_time:
            raise CrashcartError(f"{self.container.describe()} has just ended")


def everything(extra: str | None = None) -> list[Container]:
    """Every running container that can be found, each process once."""
    once: dict[int, Container] = {}
    for container in _find("", extra):
        if container.pid not in once and os.path.exists(f"/proc/{container.pid}"):
            once[container.pid] = container
    return list(once.values())


def find(text: str, extra: str | None = None) -> Target:
    """The container that ``text`` means, pinned. CrashcartError when there is none, or more than one."""
    engine, rest = split_engine(text, _ENGINES)
    if engine in ("", "pid") and rest.isascii() and rest.isdigit() and len(rest) < 10:
        if os.path.exists(f"/proc/{int(rest)}"):
            return pin(Container("pid", rest, int(rest)))
        if engine:
            raise CrashcartError(f"no process {rest}")
    found = [one for one in _find(rest, extra, engine) if engine in ("", one.engine)]
    return pin(choose(rest, [one for one in found if _is_current(one)]))


def _find(text: str, extra: str | None, engine: str = "") -> list[Container]:
    found: list[Container] = []
    for name in _MODULES:
        if engine not in ("", *_MODULES[name]):
            continue
        module = __import__(f"crashcart.targets.{name}", fromlist=["find"])
        found += module.find(text, extra)
        # Such an id is of one container in the world: what others know of it is the same.
        if len(text) == _WHOLE_ID and any(one.id == text for one in found):
            break
    return found


def _is_current(container: Container) -> bool:
    """Whether a record is not left over from a process that ended: a reused pid has another start time."""
    try:
        stat = procfs.read(f"/proc/{container.pid}/stat")
    except OSError:
        return False
    if procfs.has_ended(stat):
        return False
    return container.start_time in (0, procfs.parse_start_time(stat))


def pin(container: Container) -> Target:
    """Hold the container's process by descriptor, sure that it is the one that the record means."""
    pidfd = -1
    try:
        if kernel.may_use("pidfd"):
            pidfd = process.pidfd_open(container.pid)
    except SyscallError as error:
        if error.errno == _ESRCH:
            raise CrashcartError(f"{container.describe()} has ended") from error
        if not kernel.is_missing(error.errno or 0):
            raise CrashcartError(f"cannot hold {container.describe()}: {error}") from error
    if pidfd < 0:
        report.note("no pidfd (Linux 5.3): the process is told from a later one of the same number by its start time")
    try:
        stat = procfs.read(f"/proc/{container.pid}/stat")
    except OSError:
        raise CrashcartError(f"{container.describe()} has ended") from None
    start = procfs.parse_start_time(stat)
    if procfs.has_ended(stat) or container.start_time not in (0, start):
        raise CrashcartError(f"{container.describe()} has ended")
    return Target(container, pidfd, start)
