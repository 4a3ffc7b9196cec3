"""Drawing on a terminal, and silence in a pipe."""

import json
import os
import re
import sys
import threading
from typing import Any

from ocicommon.printable import printable

from smith.progress import Task

STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_OWN = re.compile("(\x1b\\[(?:0|1|2|3[123])m)")


def is_terminal() -> bool:
    """Whether a person watches standard error."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str) -> str:
    """Text in a style of STYLES where a person watches standard output and wants colours, else as it is."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def line(text: str = "") -> None:
    """Print a line. Names in it may be an image's: of what steers a terminal only `paint`'s styles are let through."""
    print("".join(part if _OWN.fullmatch(part) else printable(part) for part in _OWN.split(text)))


class _Bar:
    def __init__(self, owner: "Bars", identity: Any) -> None:
        self._owner = owner
        self._identity = identity

    def advance(self, amount: int) -> None:
        self._owner.progress.advance(self._identity, amount)

    def done(self) -> None:
        self._owner.progress.remove_task(self._identity)


class _Quiet:
    def advance(self, amount: int) -> None:
        return None

    def done(self) -> None:
        return None


class Bars:
    """Progress bars while tasks run; notes when `verbose`, each on a line of its own."""

    def __init__(self, verbose: bool = False) -> None:
        self.notes: list[str] = []
        self.verbose = verbose
        self.progress: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Bars":
        if is_terminal():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def start(self, label: str, total: int | None = None) -> Task:
        if self.progress is None:
            return _Quiet()
        return _Bar(self, self.progress.add_task(label, total=total))

    def note(self, text: str) -> None:
        with self._lock:
            self.notes.append(text)
            if self.verbose:
                target = self.progress.console if self.progress is not None else None
                if target is not None:
                    target.print(text, markup=False, highlight=False)
                else:
                    print(text, file=sys.stderr)


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


def size(count: int) -> str:
    """Bytes for people: 1.2 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""
