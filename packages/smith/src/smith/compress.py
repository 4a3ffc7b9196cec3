"""Compression whose bytes depend on the input alone: not on threads, and not on what the system has installed.

The stream is cut into blocks of a fixed size that are compressed apart, as pigz does, by the ISA-L that comes with
the `isal` wheel. The result is one gzip member, or one zstd frame per block, and `NAME` says what made it.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata

import zstandard
from isal import isal_zlib

from smith.content import RegionContent
from smith.inflate import Hashing, Unnamed

BLOCK = 1 << 20
GZIP_LEVEL = 2
ZSTD_LEVEL = 3
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
KINDS = ("gzip", "zstd", "none")


@dataclass(frozen=True, slots=True)
class Packed:
    """A compressed stream in an unnamed file. `digest` of its bytes and `diff_id` of what went in: `sha256:...`."""

    content: RegionContent
    digest: str
    diff_id: str
    size: int
    inflated: int


def name(kind: str) -> str:
    """What the digest of a compressed layer rests on: compressor, version, level, block size."""
    if kind == "gzip":
        return f"isal {metadata.version('isal')} level {GZIP_LEVEL}, blocks of {BLOCK}"
    if kind == "zstd":
        version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
        return f"zstd {version} level {ZSTD_LEVEL}, blocks of {BLOCK}"
    return "none"


def workers() -> int:
    """How many threads to compress with: the processors that this process may use, eight at most."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def pack(chunks: Iterable[bytes], kind: str, *, threads: int | None = None) -> Packed:
    """Compress a stream to an unnamed file in one pass. Memory: about two blocks a thread."""
    target = Unnamed()
    inner, outer = Hashing(), Hashing()
    sizes = [0, 0]

    def counted() -> Iterator[bytes]:
        for chunk in chunks:
            inner.update(chunk)
            sizes[0] += len(chunk)
            yield chunk

    try:
        for data in compressed(counted(), kind, threads=threads):
            outer.update(data)
            sizes[1] += len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(target.fd, view) :]
    finally:
        inner_digest, outer_digest = inner.hexdigest(), outer.hexdigest()
    region = RegionContent(target.fd, 0, sizes[1], target)
    region._sha256 = outer_digest
    return Packed(region, f"sha256:{outer_digest}", f"sha256:{inner_digest}", sizes[1], sizes[0])


def compressed(chunks: Iterable[bytes], kind: str, *, threads: int | None = None) -> Iterator[bytes]:
    """The compressed stream of `chunks`, piece by piece."""
    if kind == "none":
        yield from chunks
        return
    work: Callable[[bytes], bytes] = _deflate if kind == "gzip" else _zstd
    crc = length = 0
    if kind == "gzip":
        yield GZIP_HEADER
    count = threads or workers()
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for block in blocks(chunks):
            if kind == "gzip":
                crc = zlib.crc32(block, crc)
                length += len(block)
            waiting.append(pool.submit(work, block))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    if kind == "gzip":
        yield b"\x03\0" + struct.pack("<II", crc, length & 0xFFFFFFFF)


def blocks(chunks: Iterable[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size`, but the last."""
    buffer = bytearray()
    for chunk in chunks:
        if not buffer and len(chunk) == size:
            yield chunk
            continue
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


def _deflate(block: bytes) -> bytes:
    packer = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, -15)
    return packer.compress(block) + packer.flush(isal_zlib.Z_FULL_FLUSH)


def _zstd(block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True, write_checksum=True).compress(block)
