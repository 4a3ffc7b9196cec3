"""What long work tells about itself. Library code reports here; only the command line draws."""

from typing import Protocol


class Task(Protocol):
    """One thing under way: a download, a layer being read."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more bytes (or items) are through."""

    def done(self) -> None:
        """Say that it has ended."""


class Progress(Protocol):
    """Where tasks and remarks go. Safe to call from several threads."""

    def start(self, label: str, total: int | None = None) -> Task:
        """Begin a task of `total` bytes or items (None: not known)."""

    def note(self, text: str) -> None:
        """Tell the user one thing worth knowing that is no error."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        return None

    def done(self) -> None:
        return None


class Silent:
    """Reports nothing and keeps the notes for whoever asks afterwards."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, label: str, total: int | None = None) -> Task:
        return _SilentTask()

    def note(self, text: str) -> None:
        self.notes.append(text)
