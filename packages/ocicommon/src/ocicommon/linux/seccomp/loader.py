"""Loading a filter into this thread. seccomp(2)."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import address, buffer, call
from ocicommon.linux.errors import SyscallError

_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2
_LISTENER = 8


def load(program: bytes, flags: int = 0) -> int:
    """Load for good. Returns the listener with FILTER_FLAG_NEW_LISTENER, else -1.

    Needs no_new_privs or CAP_SYS_ADMIN (EACCES). From here on the filter answers to this very code.
    """
    held = buffer(program)
    result = call("seccomp", _SET_MODE_FILTER, flags, descriptor(program, address(held)), subject="filter")
    return result if flags & _LISTENER else -1


def descriptor(program: bytes, at: int) -> bytes:
    """``struct sock_fprog`` for a program at this address, for who loads it without Python."""
    return struct.pack("HxxxxxxQ", len(program) // 8, at)


def available(action: int) -> bool:
    """Whether the kernel knows an action (``RET_*``)."""
    try:
        call("seccomp", _GET_ACTION_AVAIL, 0, struct.pack("I", action), subject=f"action {action:#x}")
    except SyscallError:
        return False
    return True
