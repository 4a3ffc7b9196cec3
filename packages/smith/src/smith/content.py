"""The bytes of files that are never unpacked: read where they lie, by offset."""

import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from smith.errors import InputError

CHUNK = 1 << 20
SETTLED = 2_000_000_000
"""Nanoseconds after which a file that changes again has another time, whatever the filesystem's clock ticks by."""


class Content(Protocol):
    """The bytes of one regular file, in a layer, a package payload, a cache or on the host."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Hex digest, worked out at the first question."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""

    def identity(self) -> str:
        """What the bytes are, told without reading them; empty when that cannot be told."""

    def open(self) -> BinaryIO:
        """A new stream from the start."""

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """All bytes in pieces of at most `size`."""


class _Base:
    __slots__ = ("_sha256",)

    size: int
    _sha256: str | None

    def identity(self) -> str:
        return ""

    def read_at(self, offset: int, length: int) -> bytes:
        raise io.UnsupportedOperation("read_at")

    @property
    def sha256(self) -> str:
        if self._sha256 is None:
            digest = hashlib.sha256()
            for chunk in self.chunks():
                digest.update(chunk)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        offset = 0
        while offset < self.size:
            data = self.read_at(offset, min(size, self.size - offset))
            if not data:
                raise InputError(f"{self!r} ends after {offset} of {self.size} bytes: it changed while it was read")
            yield data
            offset += len(data)

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Stream(self))


class BytesContent(_Base):
    """Bytes that smith itself made, such as /etc/passwd."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self._sha256 = None

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def identity(self) -> str:
        return self.sha256

    def __repr__(self) -> str:
        return f"{self.size} bytes in memory"


class RegionContent(_Base):
    """A part of an open file: a member of an inflated layer or payload.

    `holder` keeps the descriptor alive; its `origin`, where it has one, is the digest of the whole file.
    """

    __slots__ = ("fd", "holder", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int, holder: object = None) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size
        self.holder = holder
        self._sha256 = None

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        return os.pread(self.fd, length, self.offset + offset)

    def identity(self) -> str:
        origin = getattr(self.holder, "origin", "")
        return f"{origin} {self.offset} {self.size}" if origin else ""

    def __repr__(self) -> str:
        return f"{self.size} bytes at {self.offset}"


class FileContent(_Base):
    """A whole file on disk, opened for each read so that thousands of them cost no descriptors.

    `origin` names a file of the cache, which never changes.
    """

    __slots__ = ("origin", "path", "size")

    def __init__(self, path: Path | str, size: int | None = None, sha256: str | None = None, origin: str = "") -> None:
        self.path = os.fspath(path)
        self.origin = origin or sha256 or ""
        self.size = os.stat(self.path).st_size if size is None else size
        self._sha256 = sha256

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, length, offset)
        finally:
            os.close(fd)

    def identity(self) -> str:
        if self.origin:
            return self.origin
        found = os.stat(self.path)
        if time.time_ns() - found.st_ctime_ns < SETTLED:
            return ""
        return f"{self.path} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

    def open(self) -> BinaryIO:
        return open(self.path, "rb")

    def __repr__(self) -> str:
        return self.path


class SparseContent(_Base):
    """A file of holes and pieces, as sparse tar members store it: each piece is (start, length, offset in data)."""

    __slots__ = ("data", "pieces", "size")

    def __init__(self, data: Content, pieces: list[tuple[int, int, int]], size: int) -> None:
        self.data = data
        self.pieces = pieces
        self.size = size
        self._sha256 = None

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        result = bytearray(length)
        for start, extent, where in self.pieces:
            low, high = max(start, offset), min(start + extent, offset + length)
            if low < high:
                result[low - offset : high - offset] = self.data.read_at(where + low - start, high - low)
        return bytes(result)

    def identity(self) -> str:
        told = self.data.identity()
        return f"{told} {self.pieces} {self.size}" if told else ""

    def __repr__(self) -> str:
        return f"sparse file of {self.size} bytes"


class _Stream(io.RawIOBase):
    def __init__(self, content: _Base) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, self._content.size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._content.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
