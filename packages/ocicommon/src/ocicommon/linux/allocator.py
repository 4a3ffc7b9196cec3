"""How much freed memory the C library keeps: mallopt(3)."""

from __future__ import annotations

from _ctypes import FUNCFLAG_CDECL, CFuncPtr, _SimpleCData, dlopen, dlsym

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Mallopt(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL
    _restype_ = _Int


def frugal(big: int) -> None:
    """One heap for all threads, and blocks over `big` bytes given back when they are freed, whatever was freed before.

    Without it every thread has a heap of its own, which keeps what its biggest buffers took. To be called before
    there are threads. A C library without mallopt (musl) has nothing to set.
    """
    try:
        mallopt = _Mallopt(dlsym(dlopen(None, 0), "mallopt"))  # type: ignore[arg-type]  # None is the program itself
    except OSError:
        return
    mallopt.argtypes = (_Int, _Int)
    for name, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, big), (_M_TRIM_THRESHOLD, big)):
        mallopt(name, value)
