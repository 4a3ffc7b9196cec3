"""The raw system call: one function pointer with fixed argument types, one error helper.

``_ctypes`` and not ``ctypes``: the package around it costs two milliseconds at each start of a runtime, and nothing
of it is needed here but two C types and the function pointer.
"""

from __future__ import annotations

import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    dlopen,
    dlsym,
    get_errno,
)

from ocicommon.linux.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000

MACHINE = os.uname().machine

# name: (x86_64, aarch64); asm/unistd.h and asm-generic/unistd.h. From 424 on, every architecture has the same numbers.
_TABLE = {
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "ptrace": (101, 117),
    "get_robust_list": (274, 100),
    "capget": (125, 90),
    "capset": (126, 91),
    "personality": (135, 92),
    "fstatfs": (138, 44),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "mount": (165, 40),
    "umount2": (166, 39),
    "sethostname": (170, 161),
    "sched_setaffinity": (203, 122),
    "set_mempolicy": (238, 237),
    "keyctl": (250, 219),
    "ioprio_set": (251, 30),
    "unshare": (272, 97),
    "prlimit64": (302, 261),
    "setns": (308, 268),
    "sched_setattr": (314, 274),
    "signalfd4": (289, 74),
    "renameat2": (316, 276),
    "seccomp": (317, 277),
    "memfd_create": (319, 279),
    "bpf": (321, 280),
    "clone": (56, 220),
    "execve": (59, 221),
    "execveat": (322, 281),
    "statx": (332, 291),
    "pidfd_send_signal": (424, 424),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}
_COLUMN = 1 if MACHINE in ("aarch64", "arm64") else 0
numbers = {name: row[_COLUMN] for name, row in _TABLE.items()}


class _Word(_SimpleCData):  # type: ignore[type-arg]
    """A C pointer: takes an int of either sign, bytes (their address), a buffer, or None."""

    _type_ = "P"


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Char(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Text(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


class _Releasing(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Long


class _Holding(CFuncPtr):
    """Keeps the interpreter's lock: a child born while another thread holds that lock would wait for it for ever."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = _Long


_types = (_Long, _Word, _Word, _Word, _Word, _Word, _Word)
_address = dlsym(dlopen(None, 0), "syscall")  # type: ignore[arg-type]  # None is the program itself
_releasing = _Releasing(_address)
_releasing.argtypes = _types
_holding = _Holding(_address)
_holding.argtypes = _types

# Set by ocicommon.linux.recording: gets (name, args) in place of the kernel.
recorder: Callable[[str, tuple[Any, ...]], int] | None = None


def _padded(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return args + (0,) * (6 - len(args))


def syscall(name: str, number: int, *args: Any, subject: str | bytes = "") -> int:
    """Make system call ``number``; ``name`` and ``subject`` are for the error.

    Arguments are ints (a 64-bit word; negative ones as two's complement), bytes (passed as the address of a
    NUL-terminated copy that the kernel must not write to), buffers of ``buffer()``, or None for a null pointer.
    Raises SyscallError. EINTR is an error like any other: whether to repeat is the caller's decision.
    """
    if recorder is not None:
        return recorder(name, args)
    result: int = _releasing(number, *_padded(args))
    if result == -1:
        raise SyscallError(get_errno(), name, os.fsdecode(subject))
    return result


def call(name: str, *args: Any, subject: str | bytes = "") -> int:
    """``syscall`` by the name's number on this machine."""
    return syscall(name, numbers[name], *args, subject=subject)


def call_holding(name: str, *args: Any, subject: str | bytes = "") -> int:
    """``call`` without letting another thread run: for the calls that return twice."""
    if recorder is not None:
        return recorder(name, args)
    result: int = _holding(numbers[name], *_padded(args))
    if result == -1:
        raise SyscallError(get_errno(), name, os.fsdecode(subject))
    return result


def path_bytes(path: str | bytes, call: str) -> bytes:
    """A path for the kernel. A NUL would silently shorten it, so it is refused as EINVAL."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise SyscallError(22, call, repr(path))
    return encoded


def buffer(content: int | bytes) -> Any:
    """A buffer that the kernel may write to: of this size and zero, or with this content. Read it by ``.raw``."""
    if isinstance(content, int):
        return (_Char * content)()
    return (_Char * len(content)).from_buffer_copy(content)


def address(held: Any) -> int:
    """Where a buffer is, for structures with pointers in them. The caller keeps the buffer alive."""
    return addressof(held)


def string_array(strings: Sequence[bytes]) -> Any:
    """A NULL-terminated ``char *[]``, for execveat: it keeps its strings alive."""
    return (_Text * (len(strings) + 1))(*strings)
