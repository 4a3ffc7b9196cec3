"""The one exception of a failed system call."""

from __future__ import annotations

import errno as _errno
import os

# Numbers with two names, of which Python keeps the rarer.
_NAMES = {35: "EDEADLK", 95: "EOPNOTSUPP"}


def describe(number: int) -> str:
    """An errno as people read it: ``permission denied (EACCES)``."""
    text = os.strerror(number)
    name = _NAMES.get(number) or _errno.errorcode.get(number, str(number))
    return f"{text[:1].lower()}{text[1:]} ({name})"


class SyscallError(OSError):
    """A system call that failed.

    ``errno`` is the kernel's, ``call`` the system call's name, ``subject`` what it was applied to (may be empty).
    It is an OSError, but never one of the subclasses that Python derives from errno: compare ``errno``.
    """

    def __init__(self, errno: int, call: str, subject: str = "") -> None:
        super().__init__(errno, os.strerror(errno))
        self.call = call
        self.subject = subject

    def __str__(self) -> str:
        subject = f" {self.subject}" if self.subject else ""
        return f"{self.call}{subject}: {describe(self.errno or 0)}"

    def __reduce__(self) -> tuple[type[SyscallError], tuple[int, str, str]]:
        return type(self), (self.errno or 0, self.call, self.subject)


def explain(error: OSError) -> str:
    """An error of a system call, ours or Python's, in one line: what, to which file, and why."""
    if isinstance(error, SyscallError):
        return str(error)
    subject = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{subject}{describe(error.errno or 0)}"
