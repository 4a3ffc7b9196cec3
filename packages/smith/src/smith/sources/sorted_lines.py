"""A table that is looked up where it lies: sorted `key TAB value` lines in a mapped file, found by bisection.

An archive has 60,000 packages and a build needs a hundred of them: nothing is loaded but the pages looked at.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def write(sink: BinaryIO, rows: Iterable[tuple[bytes, bytes]]) -> None:
    """Write the rows in order of their keys. Neither part may hold a newline, keys no tab."""
    for line in sorted(key + b"\t" + value for key, value in rows):
        sink.write(line + b"\n")


class Table:
    """A file that `write` wrote."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            self._data: mmap.mmap | bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._size = size

    def find(self, key: bytes) -> list[bytes]:
        """Every value of this key, in order of the values."""
        prefix = key + b"\t"
        return [line[len(prefix) :] for line in self._lines(prefix)]

    def keys(self, prefix: bytes) -> list[bytes]:
        """Every key that begins with `prefix`, in order."""
        return list(dict.fromkeys(line.partition(b"\t")[0] for line in self._lines(prefix)))

    def _lines(self, prefix: bytes) -> Iterator[bytes]:
        data = self._data
        low, high = 0, self._size
        while low < high:
            middle = data.rfind(b"\n", 0, (low + high) // 2) + 1
            middle = max(middle, low)
            end = data.find(b"\n", middle)
            if data[middle:end] < prefix:
                low = end + 1
            else:
                high = middle
        while low < self._size:
            end = data.find(b"\n", low)
            line = data[low:end]
            if not line.startswith(prefix):
                return
            yield line
            low = end + 1
