"""Another process held for a moment, and its seccomp filters. ptrace(2)."""

from __future__ import annotations

import errno
import struct

from ocicommon.linux.calls import buffer, call
from ocicommon.linux.errors import SyscallError

_DETACH = 17
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_GET_FILTER = 0x420C
_GET_METADATA = 0x420D
_INSTRUCTION = 8  # bytes of a struct sock_filter


def seize(pid: int) -> None:
    """Become the tracer of a thread, which goes on running; ESRCH when it is gone, EPERM when it has one."""
    call("ptrace", _SEIZE, pid, 0, 0, subject=f"seize {pid}")


def interrupt(pid: int) -> None:
    """Have a seized thread stop; waitpid(2) tells when it has."""
    call("ptrace", _INTERRUPT, pid, 0, 0, subject=f"interrupt {pid}")


def detach(pid: int) -> None:
    """Let a stopped thread go; ESRCH when it is not stopped."""
    call("ptrace", _DETACH, pid, 0, 0, subject=f"detach {pid}")


def filters(pid: int) -> list[tuple[bytes, int]]:
    """(program, SECCOMP_FILTER_FLAG_*) of each filter of a stopped thread, the oldest first.

    SyscallError: EIO where the kernel cannot, EACCES without CAP_SYS_ADMIN or under a filter of our own.
    """
    found: list[tuple[bytes, int]] = []
    while True:
        index = len(found)
        try:
            count = call("ptrace", _GET_FILTER, pid, index, 0, subject=f"filter {index} of {pid}")
            program = buffer(count * _INSTRUCTION)
            call("ptrace", _GET_FILTER, pid, index, program, subject=f"filter {index} of {pid}")
            metadata = buffer(struct.pack("QQ", index, 0))
            call("ptrace", _GET_METADATA, pid, 16, metadata, subject=f"flags of filter {index} of {pid}")
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        found.append((bytes(program.raw), struct.unpack("QQ", metadata.raw)[1]))
