"""Opening what is compressed: any layer or archive into an unnamed file, hashed on the way, with a limit.

gzip (many members too), zstd, xz, bzip2 and the rare ones are told by their first bytes, never by a name.
"""

import bz2
import hashlib
import lzma
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard
from isal import isal_zlib

from smith import rare
from smith.content import CHUNK, Content, RegionContent
from smith.errors import InputError

_isal_error: Any = isal_zlib.error  # its stub has an instance where the module has a class
_DAMAGED: tuple[type[Exception], ...] = (
    _isal_error,
    zstandard.ZstdError,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)
MAX_INFLATED = 64 << 30
BOMB_SIZE = 256 << 20
BOMB_RATIO = 250
"""Past BOMB_SIZE, data that grows more than this many times is a bomb (real layers stay under 50)."""
MAX_WINDOW = 1 << 27

MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), *rare.MAGIC)


class Unnamed:
    """A file without a name, gone when the last user lets go of it. `origin` is its digest, when that is known."""

    origin = ""

    def __init__(self, directory: str | None = None) -> None:
        directory = directory or tempfile.gettempdir()
        try:
            self.fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            self.fd, name = tempfile.mkstemp(prefix="smith-", dir=directory)
            os.unlink(name)

    def __del__(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Inflated:
    """The bytes behind a compression. Digests are hex: `outer` of what was read, `inner` of what came out."""

    content: Content
    compression: str
    outer: str
    inner: str


class Hashing:
    """sha256 in a thread of its own: hashlib lets others run, so hashing costs no time beside inflating."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._queue: queue.Queue[bytes | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            self._digest.update(data)

    def update(self, data: bytes) -> None:
        self._queue.put(data)

    def hexdigest(self) -> str:
        """End it, and give the digest. May be called again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        return self._digest.hexdigest()


def compression_of(start: bytes) -> str:
    """gzip, zstd, xz, bzip2, one of rare.KINDS or none, by the first bytes."""
    return next((name for magic, name in MAGIC if start.startswith(magic)), "none")


def inflate(
    content: Content, what: str, *, advance: Callable[[int], None] | None = None, limit: int = MAX_INFLATED
) -> Inflated:
    """Read `content` once, from start to end, to an unnamed file. `what` names it in errors.

    Uncompressed content is hashed where it lies and not copied. InputError for cut or damaged data and for bombs.
    """
    compression = compression_of(content.read_at(0, 6))
    outer = Hashing()

    def source() -> Iterator[bytes]:
        for chunk in content.chunks(STEP):
            outer.update(chunk)
            if advance:
                advance(len(chunk))
            yield chunk

    if compression == "none":
        for _ in source():
            pass
        digest = outer.hexdigest()
        return Inflated(content, compression, digest, digest)
    inner = Hashing()
    target = Unnamed()
    try:
        size = 0
        for data in expand(source(), compression, what):
            size += len(data)
            if size > limit or (size > BOMB_SIZE and size > BOMB_RATIO * content.size):
                raise InputError(
                    f"{what} inflates from {content.size} to over {size} bytes: refused as a decompression bomb"
                )
            inner.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(target.fd, view) :]
    except OSError as error:
        raise InputError(f"{what} cannot be inflated to {tempfile.gettempdir()}: {error.strerror}") from None
    finally:
        outer_digest, inner_digest = outer.hexdigest(), inner.hexdigest()
    target.origin = inner_digest
    return Inflated(RegionContent(target.fd, 0, size, target), compression, outer_digest, inner_digest)


STEP = CHUNK // 4
"""Bytes that come out of a decoder at once: several run side by side."""
ZSTD_STEP = 2048
"""Bytes given to zstd at once: a run-length block of 4 bytes makes 128 KiB, so this bounds memory at 64 MiB."""


def expand(chunks: Iterable[bytes], compression: str, what: str) -> Iterator[bytes]:
    """The inflated bytes of a stream, in pieces of bounded size. InputError when it is damaged or ends early."""
    if compression == "none":
        yield from chunks
        return
    if compression in rare.KINDS:
        yield from rare.expand(chunks, compression, what)
        return
    try:
        yield from _zstd(chunks, what) if compression == "zstd" else _steps(chunks, compression, what)
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"{what} is damaged: its {compression} data cannot be inflated ({error})") from None


def _steps(chunks: Iterable[bytes], compression: str, what: str) -> Iterator[bytes]:
    make: dict[str, Callable[[], Any]] = {
        "gzip": lambda: isal_zlib.decompressobj(31),
        "xz": lambda: lzma.LZMADecompressor(memlimit=256 << 20),
        "bzip2": bz2.BZ2Decompressor,
    }
    decoder: Any = None
    for chunk in chunks:
        data = chunk
        while data:
            if decoder is None:
                if not data.strip(b"\0"):
                    break
                decoder = make[compression]()
            out = decoder.decompress(data, STEP)
            data = b""
            while out or not decoder.eof:
                if out:
                    yield out
                if compression == "gzip":
                    if decoder.eof or not (tail := decoder.unconsumed_tail):
                        break
                    out = decoder.decompress(tail, STEP)
                elif decoder.eof or decoder.needs_input:
                    break
                else:
                    out = decoder.decompress(b"", STEP)
            if decoder.eof:
                data = decoder.unused_data
                decoder = None
    while compression == "gzip" and decoder is not None and (out := decoder.decompress(b"", STEP)):
        yield out
    if decoder is not None and not decoder.eof:
        raise InputError(f"{what} is cut off: its {compression} data has no end")


def _zstd(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    decoder: Any = None
    ready: list[bytes] = []
    waiting = 0
    for chunk in chunks:
        for start in range(0, len(chunk), ZSTD_STEP):
            data = chunk[start : start + ZSTD_STEP]
            while data:
                if decoder is None:
                    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
                out = decoder.decompress(data)
                data = b""
                ready.append(out)
                waiting += len(out)
                if decoder.eof:
                    data = decoder.unused_data
                    decoder = None
            if waiting >= STEP:
                yield b"".join(ready)
                ready, waiting = [], 0
    yield b"".join(ready)
    if decoder is not None:
        raise InputError(f"{what} is cut off: its zstd data has no end")
