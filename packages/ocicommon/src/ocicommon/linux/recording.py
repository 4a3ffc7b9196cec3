"""A double for tests without root: system calls are written down, and not made.

It stands behind the same declarations as the kernel does (``calls.syscall``), so no call can be missing from it.
"""

from __future__ import annotations

from ocicommon.linux import calls
from ocicommon.linux.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self

    Result = int | SyscallError | Callable[..., int]


class recording(list["tuple[str, tuple[Any, ...]]"]):  # noqa: N801 - it is used as a statement: `with recording() as calls`
    """``with recording({"openat2": 7}) as made: ...``; ``made`` is a list of (name, args).

    Buffers are recorded as the bytes they held. A call returns what ``results`` says for its name: a number, an
    error that is raised, or a function of the arguments (which may fill buffers); 0 when it says nothing.
    """

    def __init__(self, results: Mapping[str, Result] | None = None) -> None:
        super().__init__()
        self.results = dict(results or {})

    def __enter__(self) -> Self:
        self._before = calls.recorder
        calls.recorder = self._record
        return self

    def __exit__(self, *_: object) -> None:
        calls.recorder = self._before

    def _record(self, name: str, args: tuple[Any, ...]) -> int:
        self.append((name, tuple(getattr(argument, "raw", argument) for argument in args)))
        result = self.results.get(name, 0)
        if isinstance(result, SyscallError):
            raise result
        return result if isinstance(result, int) else result(*args)

    def names(self) -> list[str]:
        """The names of the calls, in order."""
        return [name for name, _ in self]
