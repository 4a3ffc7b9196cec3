"""The seccomp filters that hold a process, read from the kernel: the process is stopped for a moment.

ptrace(2), PTRACE_SECCOMP_GET_FILTER: a kernel with CONFIG_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, and no filter on us.
"""

from __future__ import annotations

import errno
import os
import time

from ocicommon.linux import ptrace
from ocicommon.linux.errors import SyscallError

from crashcart.errors import CrashcartError

_SECONDS = 10.0
_WALL = 0x40000000


def read(pid: int, what: str) -> list[tuple[bytes, int]]:
    """(program, flags to load it with) of each filter, in the order in which they were loaded.

    ``what`` is how messages call the process. CrashcartError where they cannot be read.
    """
    try:
        ptrace.seize(pid)
        try:
            ptrace.interrupt(pid)
            _await_stop(pid, what)
            return ptrace.filters(pid)
        finally:
            _let_go(pid)
    except SyscallError as error:
        if error.errno in (errno.EIO, errno.EINVAL):
            raise CrashcartError(
                f"this kernel does not show the seccomp filters of {what} (CONFIG_CHECKPOINT_RESTORE): "
                "profile strict cannot repeat them; use --profile debug"
            ) from error
        raise CrashcartError(
            f"the seccomp filters of {what} cannot be read ({error}): "
            "profile strict cannot repeat them; use --profile debug"
        ) from error


def _await_stop(pid: int, what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | _WALL)
        if found and os.WIFSTOPPED(status):
            return
        if found:
            raise CrashcartError(f"{what} has just ended")
        if time.monotonic() > deadline:
            raise CrashcartError(f"{what} does not stop to have its seccomp filters read: is it paused? --resume")
        time.sleep(0.001)


def _let_go(pid: int) -> None:
    try:
        ptrace.detach(pid)
    except SyscallError:
        return  # it has ended, or never stopped: then our own end lets go of it
