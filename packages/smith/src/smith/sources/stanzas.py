"""A text of stanzas in the cache, with a table that finds one by the package's name or by what it provides."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from smith.cache import Cache
from smith.sources import sorted_lines

_BLOCK = 1 << 20
Names = Callable[[bytes], tuple[bytes, list[bytes]] | None]
"""Given a stanza's bytes: the package's name and the names it provides, or None for what is no package."""


class Stanzas:
    """The stanzas of one index file. `kind` names the form and its version for the cache, `key` the file's content."""

    def __init__(self, cache: Cache, path: Path, kind: str, key: str, names: Names) -> None:
        def produce(sink: BinaryIO) -> None:
            with open(path, "rb") as stream:
                sorted_lines.write(sink, _rows(stream, names))

        self._table = sorted_lines.Table(cache.derive(kind, key, produce))
        # Read by pread: a mapping would count every page looked at, and those around it, as memory of ours.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def named(self, name: str) -> list[str]:
        """The text of every stanza of that package."""
        found = []
        for value in self._table.find(b"p:" + name.encode()):
            offset, length = map(int, value.split())
            found.append(os.pread(self._fd, length, offset).decode("utf-8", "replace"))
        return found

    def providers(self, name: str) -> list[str]:
        """Names of packages that say they provide `name` (in some version)."""
        return sorted({value.decode() for value in self._table.find(b"v:" + name.encode())})

    def near(self, name: str) -> list[str]:
        """Names that begin as `name` does, for a suggestion."""
        return [key[2:].decode() for key in self._table.keys(b"p:" + name[:2].encode())]


def _rows(stream: BinaryIO, names: Names) -> Iterator[tuple[bytes, bytes]]:
    start, rest = 0, b""
    while data := stream.read(_BLOCK):
        *whole, rest = (rest + data).split(b"\n\n")
        for block in whole:
            yield from _row(block + b"\n", start, names)
            start += len(block) + 2
    if rest.strip():
        yield from _row(rest, start, names)


def _row(block: bytes, start: int, names: Names) -> Iterator[tuple[bytes, bytes]]:
    found = names(block)
    if found is not None:
        name, provides = found
        yield b"p:" + name, b"%012d %d" % (start, len(block))
        for provided in provides:
            yield b"v:" + provided, name
