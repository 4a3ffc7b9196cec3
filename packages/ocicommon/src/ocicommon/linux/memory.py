"""This process's own memory by address: what a process that is restored from a snapshot has to read and to mend."""

from __future__ import annotations

from _ctypes import _SimpleCData, dlopen, dlsym

from ocicommon.linux.calls import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAGE = 4096
_MMAP = 9  # x86_64 only, as the snapshots are
_MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE = 0x100022


class _Word(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "P"


class _Byte(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


def symbol(name: str) -> int:
    """The address of a C library's variable; 0 when it has none of this name."""
    try:
        return int(dlsym(dlopen(None, 0), name))  # type: ignore[arg-type]  # None is the program itself
    except OSError:
        return 0


def word(address: int) -> int:
    """The 64-bit word at an address."""
    return int(_Word.from_address(address).value or 0)


def set_word(address: int, value: int) -> None:
    """Write a 64-bit word."""
    _Word.from_address(address).value = value


def content(address: int, length: int) -> bytes:
    """A copy of the bytes at an address."""
    array: Any = _Byte * length
    return bytes(array.from_address(address).raw)


def stop_heap() -> None:
    """Let the heap grow no further: from now on, malloc maps what it needs, and no longer expects one piece."""
    end = -(-word(symbol("__curbrk")) // _PAGE) * _PAGE
    syscall("mmap", _MMAP, end, _PAGE, 0, _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE, -1 & 2**64 - 1, 0)
    # More than the heap has left, each less than malloc would map by itself.
    pieces = [bytearray(100_000) for _ in range(4)]
    del pieces
