"""Compression whose bytes depend on the input alone: not on threads, processor, or what the system has installed.

The stream is cut into blocks of a fixed size that are compressed apart: a gzip member or a zstd frame each, as seekable
images have it. gzip is made by the libdeflate inside the `deflate` wheel: its bytes were found equal on x86-64 from
Nehalem to AVX-512 and on aarch64, where those of ISA-L and zlib-ng differ. `name` says what the digest rests on.
"""

import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import deflate
import zstandard

from smith.content import RegionContent
from smith.errors import SmithError
from smith.inflate import Hashing, Unnamed

BLOCK = 1 << 20
GZIP_LEVEL = 1
ZSTD_LEVEL = 3
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
STORED = 0xFFFF
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
        return f"libdeflate of deflate {deflate.__version__} level {GZIP_LEVEL}, members of {BLOCK}"
    if kind == "zstd":
        version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
        return f"zstd {version} level {ZSTD_LEVEL}, blocks of {BLOCK}"
    return "none"


def workers() -> int:
    """How many threads to compress with: the processors that this process may use, eight at most."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def pack(chunks: Iterable[bytes], kind: str, *, threads: int | None = None, directory: str | None = None) -> Packed:
    """Compress a stream to an unnamed file (in `directory`) in one pass. Memory: about two blocks a thread."""
    target = Unnamed(directory)
    inner, outer = Hashing(), Hashing()
    sizes = [0, 0]

    def counted() -> Iterator[bytes]:
        for block in blocks(chunks):
            inner.update(block)
            sizes[0] += len(block)
            yield block

    try:
        for data in compressed(counted(), kind, threads=threads):
            outer.update(data)
            sizes[1] += len(data)
            view = memoryview(data)
            while view:
                view = view[_write(target.fd, view, directory) :]
    finally:
        inner_digest, outer_digest = inner.hexdigest(), outer.hexdigest()
    region = RegionContent(target.fd, 0, sizes[1], target)
    region._sha256 = outer_digest
    return Packed(region, f"sha256:{outer_digest}", f"sha256:{inner_digest}", sizes[1], sizes[0])


def _write(fd: int, view: memoryview, directory: str | None) -> int:
    try:
        return os.write(fd, view)
    except OSError as error:
        where = directory or tempfile.gettempdir()
        raise SmithError(f"the layer cannot be written to {where}: {error.strerror}") from None


def compressed(chunks: Iterable[bytes], kind: str, *, threads: int | None = None) -> Iterator[bytes]:
    """The compressed stream of `chunks`, piece by piece."""
    if kind == "none":
        yield from chunks
        return
    work = _gzip if kind == "gzip" else _zstd
    count = threads or workers()
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for block in blocks(chunks):
            waiting.append(pool.submit(work, block))
            if len(waiting) >= count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def archived(chunks: Iterable[bytes], kind: str) -> Iterator[bytes]:
    """An archive of parts that are compressed already: for gzip one member that only stores, else as `compressed`."""
    return stored_gzip(chunks) if kind == "gzip" else compressed(chunks, kind)


def stored_gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member that stores and does not compress (RFC 1951, 3.2.4). Not every reader of archives takes more."""
    crc = length = 0
    yield GZIP_HEADER
    for block in blocks(chunks, STORED):
        crc = deflate.crc32(block, crc)
        length += len(block)
        yield struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF) + block
    yield b"\x01\0\0\xff\xff" + struct.pack("<II", crc, length & 0xFFFFFFFF)


def blocks(chunks: Iterable[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size`, but the last."""
    pieces: list[bytes | memoryview] = []
    held = 0
    for chunk in chunks:
        rest: bytes | memoryview = chunk
        while held + len(rest) >= size:
            if not held and len(rest) == size:
                yield bytes(rest)
                rest = b""
                break
            taken = size - held
            yield b"".join((*pieces, memoryview(rest)[:taken]))
            rest = memoryview(rest)[taken:]
            pieces.clear()
            held = 0
        if rest:
            pieces.append(rest)
            held += len(rest)
    if pieces:
        yield b"".join(pieces)


def _gzip(block: bytes) -> bytes:
    trailer = struct.pack("<II", deflate.crc32(block), len(block))
    return b"".join((GZIP_HEADER, deflate.deflate_compress(block, GZIP_LEVEL), trailer))


def _zstd(block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True, write_checksum=True).compress(block)
