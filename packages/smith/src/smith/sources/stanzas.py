"""A text of stanzas in the cache, with a table that finds one by the package's name or by what it provides."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from smith.cache import Cache
from smith.sources import sorted_lines

Names = Callable[[bytes], tuple[bytes, list[bytes]] | None]
"""Given a stanza's bytes: the package's name and the names it provides, or None for what is no package."""


class Stanzas:
    """The stanzas of one index file. `kind` names the form and its version for the cache, `key` the file's content."""

    def __init__(self, cache: Cache, path: Path, kind: str, key: str, names: Names) -> None:
        def produce(sink: BinaryIO) -> None:
            sorted_lines.write(sink, _rows(_map(path), names))

        self._table = sorted_lines.Table(cache.derive(kind, key, produce))
        self._data = _map(path)

    def named(self, name: str) -> list[str]:
        """The text of every stanza of that package."""
        found = []
        for value in self._table.find(b"p:" + name.encode()):
            offset, length = map(int, value.split())
            found.append(self._data[offset : offset + length].decode("utf-8", "replace"))
        return found

    def providers(self, name: str) -> list[str]:
        """Names of packages that say they provide `name` (in some version)."""
        return sorted({value.decode() for value in self._table.find(b"v:" + name.encode())})

    def near(self, name: str) -> list[str]:
        """Names that begin as `name` does, for a suggestion."""
        return [key[2:].decode() for key in self._table.keys(b"p:" + name[:2].encode())]


def _map(path: Path) -> mmap.mmap | bytes:
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b""


def _rows(data: bytes | mmap.mmap, names: Names) -> Iterator[tuple[bytes, bytes]]:
    start, end = 0, len(data)
    while start < end:
        stop = data.find(b"\n\n", start)
        stop = end if stop < 0 else stop + 1
        found = names(bytes(data[start:stop]))
        if found is not None:
            name, provides = found
            yield b"p:" + name, b"%012d %d" % (start, stop - start)
            for provided in provides:
                yield b"v:" + provided, name
        start = stop + 1
