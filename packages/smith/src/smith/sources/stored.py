"""Compressed things in the cache, opened: each is inflated once, into the cache, and read where it lies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from smith.cache import CHUNK, Cache
from smith.errors import InputError
from smith.inflate import compression_of, expand

LIMIT = 16 << 30


def plain(data: bytes, what: str, limit: int = 256 << 20) -> bytes:
    """A document in memory, inflated if it is compressed. InputError for damage and beyond `limit` bytes."""
    found = bytearray()
    for piece in expand(_pieces(data), compression_of(data[:6]), what):
        found += piece
        if len(found) > limit:
            raise InputError(f"{what}: inflates to more than {limit} bytes")
    return bytes(found)


def plain_file(cache: Cache, sha256: str, what: str, limit: int = LIMIT) -> Path:
    """A blob of the cache, inflated if it is compressed. InputError as for `plain`."""
    with cache.open(sha256) as stream:
        compression = compression_of(stream.read(6))
    if compression == "none":
        return cache.path(sha256)

    def produce(sink: BinaryIO) -> None:
        with cache.open(sha256) as stream:
            copy(expand(_chunks(stream), compression, what), sink, what, limit)

    return cache.derive("plain-1", sha256, produce)


def copy(pieces: Iterable[bytes], sink: BinaryIO, what: str, limit: int = LIMIT) -> int:
    """Write all pieces; how many bytes that were. InputError beyond `limit`."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise InputError(f"{what}: inflates to more than {limit} bytes")
        sink.write(piece)
    return total


def _pieces(data: bytes) -> Iterable[bytes]:
    view = memoryview(data)
    return (bytes(view[start : start + CHUNK]) for start in range(0, len(data), CHUNK))


def _chunks(stream: BinaryIO) -> Iterable[bytes]:
    while data := stream.read(CHUNK):
        yield data
