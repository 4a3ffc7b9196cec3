"""Making processes, holding them by descriptor, and what a process says about itself (prctl)."""

from __future__ import annotations

import os
import struct

from ocicommon.linux.calls import AT_EMPTY_PATH, address, buffer, call, call_holding, path_bytes, string_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

CLONE_VM = 0x00000100
CLONE_FILES = 0x00000400
CLONE_PIDFD = 0x00001000
CLONE_VFORK = 0x00004000
CLONE_PARENT = 0x00008000
CLONE_INTO_CGROUP = 0x200000000

CLOSE_RANGE_UNSHARE = 2
CLOSE_RANGE_CLOEXEC = 4
_LAST_DESCRIPTOR = 0xFFFFFFFF
_MOST_CPUS = 8192
_SFD_NONBLOCK = 0x800
_SFD_CLOEXEC = 0x80000

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_SET_TIMERSLACK = 29
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_SET_MDWE = 65

PER_LINUX = 0
PER_LINUX32 = 8
PER_QUERY = 0xFFFFFFFF

# Names as in config.json's process.rlimits; asm-generic/resource.h.
RESOURCES = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}


def clone3(
    flags: int = 0, *, exit_signal: int = 17, cgroup_fd: int = -1, want_pidfd: bool = False, set_tid: int = 0
) -> tuple[int, int]:
    """Fork with ``CLONE_*`` flags: (pid, pidfd or -1) in the parent, (0, -1) in the child. clone3(2).

    ``cgroup_fd`` is a cgroup2 directory in which the child is born; ``exit_signal`` must be 0 with CLONE_PARENT, where
    the kernel takes it from the caller. The pidfd is close-on-exec. The process must have one thread: Python's own
    after-fork work is not done.
    """
    held = buffer(4)
    if want_pidfd:
        flags |= CLONE_PIDFD
    if cgroup_fd >= 0:
        flags |= CLONE_INTO_CGROUP
    if flags & CLONE_PARENT:
        exit_signal = 0
    tids = buffer(struct.pack("i", set_tid))
    arguments = struct.pack(
        "11Q",
        flags,
        address(held) if want_pidfd else 0,
        0,
        0,
        exit_signal,
        0,
        0,
        0,
        address(tids) if set_tid else 0,
        1 if set_tid else 0,
        max(cgroup_fd, 0),
    )
    pid = call_holding("clone3", buffer(arguments), len(arguments))
    if pid == 0 or not want_pidfd:
        return pid, -1
    return pid, struct.unpack("i", held.raw)[0]


def clone(flags: int = 0, *, exit_signal: int = 17) -> int:
    """``clone3`` as kernels before Linux 5.3 have it: the pid in the parent, 0 in the child. clone(2)."""
    return call_holding("clone", flags | (0 if flags & CLONE_PARENT else exit_signal), None, None, None, None)


def pidfd_open(pid: int, flags: int = 0) -> int:
    """A descriptor of the process ``pid``, close-on-exec. Only a check after it tells that the pid was not reused."""
    return call("pidfd_open", pid, flags, subject=f"of process {pid}")


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Signal the very process that the descriptor was opened for; ESRCH when it is gone."""
    call("pidfd_send_signal", pidfd, signal, None, 0)


def signalfd(signals: Iterable[int]) -> int:
    """A descriptor, close-on-exec and never blocking, from which blocked signals are read. signalfd(2)"""
    mask = sum(1 << signal - 1 for signal in signals)
    return call("signalfd4", -1, struct.pack("Q", mask), 8, _SFD_CLOEXEC | _SFD_NONBLOCK)


def signals_of(data: bytes) -> list[int]:
    """The numbers in what was read from a signalfd: struct signalfd_siginfo begins with it, and has 128 bytes."""
    return [int.from_bytes(data[start : start + 4], "little") for start in range(0, len(data), 128)]


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A copy, close-on-exec, of another process's descriptor: needs PTRACE_MODE_ATTACH over it."""
    return call("pidfd_getfd", pidfd, fd, 0, subject=f"descriptor {fd}")


def close_range(first: int, last: int = _LAST_DESCRIPTOR, flags: int = 0) -> None:
    """Close descriptors first..last, or only mark them with CLOSE_RANGE_CLOEXEC."""
    call("close_range", first, last, flags)


def execveat(fd: int, path: str | bytes, argv: Any, envp: Any, flags: int = AT_EMPTY_PATH) -> None:
    """Execute ``path`` relative to ``fd``, or ``fd`` itself when the path is empty. Returns by raising only.

    ``argv`` and ``envp`` are sequences of bytes or what ``strings()`` made of them beforehand.
    """
    arguments = strings(argv) if isinstance(argv, list | tuple) else argv
    environment = strings(envp) if isinstance(envp, list | tuple) else envp
    call("execveat", fd, path_bytes(path, "execveat"), arguments, environment, flags, subject=path)


def execve(path: str | bytes, argv: Any, envp: Any) -> None:
    """Execute ``path`` by the call that every seccomp profile knows. Returns by raising only; see ``execveat``."""
    arguments = strings(argv) if isinstance(argv, list | tuple) else argv
    environment = strings(envp) if isinstance(envp, list | tuple) else envp
    call("execve", path_bytes(path, "execve"), arguments, environment, subject=path)


def strings(values: Sequence[bytes]) -> Any:
    """argv or envp as execve takes them, built early, where nothing may be allocated or fail later."""
    return string_array(values)


def prctl(option: int, second: int | bytes = 0, third: int = 0, fourth: int = 0, fifth: int = 0) -> int:
    """prctl(2), raw."""
    return call("prctl", option, second, third, fourth, fifth, subject=f"option {option}")


def set_dumpable(dumpable: bool) -> None:
    """Whether processes without CAP_SYS_PTRACE may look into this one (/proc/PID/{fd,exe,mem}); exec resets it."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def set_parent_death_signal(signal: int) -> None:
    """Be signalled when the parent *thread* dies; 0 for never. A parent that is dead already sends nothing."""
    prctl(PR_SET_PDEATHSIG, signal)


def set_no_new_privileges() -> None:
    """No exec gives more than the process has; there is no way back."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_keep_capabilities(keep: bool) -> None:
    """Whether the permitted set outlives the change from uid 0 to another; exec resets it."""
    prctl(PR_SET_KEEPCAPS, int(keep))


def set_child_subreaper(reaper: bool) -> None:
    """Whether orphaned descendants become children of this process."""
    prctl(PR_SET_CHILD_SUBREAPER, int(reaper))


def set_name(name: str | bytes) -> None:
    """The name in /proc/PID/comm: at most 15 bytes are kept."""
    prctl(PR_SET_NAME, os.fsencode(name)[:15])


def personality(persona: int = PER_QUERY) -> int:
    """Set the execution domain; returns the one before. Without an argument, only asks."""
    return call("personality", persona)


def use_all_cpus() -> None:
    """Lift every restriction of this process to some CPUs but that of its cpuset. sched_setaffinity(2)"""
    call("sched_setaffinity", 0, _MOST_CPUS // 8, b"\xff" * (_MOST_CPUS // 8))


def prlimit(pid: int, resource: int, soft: int | None = None, hard: int | None = None) -> tuple[int, int]:
    """(soft, hard) as they were; set when both are given. 2**64-1 is no limit, ``pid`` 0 this process."""
    before = buffer(16)
    after = None if soft is None or hard is None else struct.pack("2Q", soft, hard)
    call("prlimit64", pid, resource, after, before, subject=f"resource {resource} of process {pid}")
    was: tuple[int, int] = struct.unpack("2Q", before.raw)
    return was
