"""Compressions that few archives still have (lz4, lzip, lzma, compress), by libarchive; loaded when one is met."""

import io
from collections.abc import Iterable, Iterator

from smith.content import CHUNK
from smith.errors import InputError, SmithError

MAGIC = ((b"\x04\x22\x4d\x18", "lz4"), (b"LZIP", "lzip"), (b"\x5d\x00\x00", "lzma"), (b"\x1f\x9d", "compress"))
KINDS = frozenset(name for _, name in MAGIC)


class _Stream(io.RawIOBase):
    """Chunks as a stream, which is what libarchive reads from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def expand(chunks: Iterable[bytes], compression: str, what: str) -> Iterator[bytes]:
    """The inflated bytes of a stream. InputError when it is damaged; SmithError where there is no libarchive."""
    try:
        import libarchive
    except (ImportError, OSError, TypeError, AttributeError):  # the module does not find the C library
        raise SmithError(f"{what} is compressed with {compression}: install libarchive (libarchive13)") from None
    try:
        with libarchive.stream_reader(_Stream(chunks), format_name="raw", filter_name=compression) as archive:
            for entry in archive:
                yield from entry.get_blocks(CHUNK)
    except libarchive.ArchiveError as error:
        raise InputError(f"{what} is damaged: its {compression} data cannot be inflated ({error.msg})") from None
