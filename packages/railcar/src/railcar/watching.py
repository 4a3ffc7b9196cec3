"""Who in a container could trace a process of ours that comes into its pid namespace."""

import os

from ocicommon.linux.capabilities import bit
from ocicommon.linux.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from railcar.state import Record

_TRACE = 1 << bit("CAP_SYS_PTRACE")
#: Of so many processes the rights are read; of more, the worst is assumed.
_MOST = 64
_unused: list[int] = []


def watched(pid_namespace: int) -> bool:
    """Whether a process of this pid namespace (a descriptor) may trace ours, and sees it only because it is inside."""
    ours = os.stat("/proc/self/ns/pid")
    space = os.fstat(pid_namespace)
    if (ours.st_dev, ours.st_ino) == (space.st_dev, space.st_ino):
        return False
    user = os.stat("/proc/self/ns/user").st_ino
    for number, (proc, pid) in enumerate(_members(pid_namespace, space)):
        if number == _MOST:
            return True
        try:
            # In a user namespace of its own, no right of it reaches our memory.
            if os.stat(f"{pid}/ns/user", dir_fd=proc).st_ino == user and _bounding(proc, pid) & _TRACE:
                return True
        except OSError:
            continue  # it is gone
    return False


def _members(pid_namespace: int, space: os.stat_result) -> "Iterator[tuple[int, str]]":
    """(procfs, name in it) of each process in a pid namespace."""
    proc = procfs_of(pid_namespace)
    every = proc < 0
    if every:
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for pid in os.listdir(proc):
            if not pid.isdigit():
                continue
            if every:
                try:
                    found = os.stat(f"{pid}/ns/pid", dir_fd=proc)
                except OSError:
                    continue
                if (found.st_dev, found.st_ino) != (space.st_dev, space.st_ino):
                    continue
            yield proc, pid
    finally:
        os.close(proc)


def procfs_of(pid_namespace: int) -> int:
    """A procfs that shows this pid namespace; -1 where the kernel (before Linux 6.17) makes none but the caller's."""
    from ocicommon.linux import mounts

    context = -1
    try:
        context = mounts.fsopen("proc")
        mounts.fsconfig_set_fd(context, "pidns", pid_namespace)
        mounts.fsconfig_create(context)
        mount = mounts.fsmount(context)
        _unused.append(mount)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    except SyscallError:
        return -1
    finally:
        if context >= 0:
            os.close(context)


def let_go() -> None:
    """Close the mounts of `procfs_of`. Each waits for an RCU grace period: a time to wait for something else anyway."""
    while _unused:
        os.close(_unused.pop())


def _bounding(proc: int, pid: str) -> int:
    """A process's bounding set: what it could come by."""
    fd = os.open(f"{pid}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        text = os.read(fd, 8192)
    finally:
        os.close(fd)
    return int(text.partition(b"CapBnd:")[2].split(None, 1)[0], 16)


def needed(record: "Record") -> bool:
    """Whether an `exec` in this container is watched."""
    if "pid" not in (record.data.get("namespaces") or ()):
        return False  # all of the host's processes see it
    try:
        space = os.open(f"/proc/{record.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # it is gone, and the exec will say so
    try:
        return watched(space)
    finally:
        os.close(space)
