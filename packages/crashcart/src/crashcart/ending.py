"""The end of a session inside the container: every process that it left is killed and taken in.

The caller is the reaper of the session's processes (PR_SET_CHILD_SUBREAPER): whoever loses a parent becomes its child.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal imports enum, and each entry would wait
import os
import time

from ocicommon.linux.sockets import send_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable

_WALL = 0x40000000  # also those that a clone(2) made without SIGCHLD
# A tracer in the container can keep a killed process from ever being taken in.
SECONDS = 10.0
_PAUSE = 0.002


def own_namespaces() -> int:
    """Our directory of namespaces in the host's procfs, to be asked when we have entered them."""
    return os.open("/proc/self/ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def tell_mount_namespace(control: _socket.socket, own: int) -> None:
    """Say which it is before there is a command: whoever is killed then, the rest is found by it. Closes ``own``."""
    fd = os.open("mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=own)
    os.close(own)
    try:
        send_fds(control, b"mounts", [fd])
    finally:
        os.close(fd)


def end_children(table: int) -> None:
    """Kill the children there are, and those that become ours by their death, until there are none.

    ``table`` is a procfs that can be trusted, or -1. Given up after ``SECONDS``.
    """
    deadline = time.monotonic() + SECONDS
    while _has_children() and time.monotonic() < deadline:
        for pid in _listed(table) if table >= 0 else _tried():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it has ended, or a security module forbids it
        time.sleep(_PAUSE)


def _has_children() -> bool:
    """Take in all that have ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG | _WALL)[0]:
            continue
    except ChildProcessError:
        return False
    return True


def _listed(table: int) -> list[int]:
    """Our children as a procfs lists them."""
    mine = os.getpid()
    try:
        fd = os.open(f"{mine}/task/{mine}/children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=table)
    except OSError:
        return _tried()
    try:
        return [int(pid) for pid in os.read(fd, 1 << 16).split()]
    finally:
        os.close(fd)


def _tried() -> list[int]:
    """Our children without a procfs: of the numbers that were given out since we were born, those we may wait for."""
    try:
        newest = os.fork()
    except OSError:
        return []  # at a limit, which what ends meanwhile may lift
    if newest == 0:
        os._exit(0)
    os.waitpid(newest, 0)
    return [pid for pid in given_out(os.getpid(), newest) if _is_child(pid)]


def given_out(oldest: int, newest: int, most: int = 1 << 22) -> Iterable[int]:
    """The process numbers from one to another, as the kernel gives them out: ascending, and from the start again."""
    if oldest < newest:
        return range(oldest + 1, newest)
    return (*range(oldest + 1, most + 1), *range(1, newest))


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL)
    except ChildProcessError:
        return False
    return True
