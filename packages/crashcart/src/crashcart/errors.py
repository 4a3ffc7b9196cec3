"""The errors that end crashcart, with their exit codes. Only ``cli`` prints them.

::

    CrashcartError          1   what was asked for could not be done
    ├── UsageError          2   the command line is wrong
    ├── NotExecutable     126   the command is there and cannot be executed
    └── NotFound          127   neither the image nor the container has the command
"""

from __future__ import annotations


class CrashcartError(Exception):
    """One sentence for the user, and the exit code."""

    code = 1

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(CrashcartError):
    """The command line is wrong."""

    code = 2


class NotExecutable(CrashcartError):
    """The command exists, but the kernel will not execute it."""

    code = 126


class NotFound(CrashcartError):
    """There is no such command."""

    code = 127
