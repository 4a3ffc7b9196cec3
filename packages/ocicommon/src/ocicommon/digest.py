"""Digests, `algorithm:encoded`, by the image specification's descriptor.md."""

import hashlib
import re
from typing import BinaryIO

from ocicommon.errors import DigestMismatch, InvalidDigest

_DIGEST = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)", re.ASCII)
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = frozenset("0123456789abcdef")
CHUNK = 1 << 18


def parse(value: str) -> tuple[str, str]:
    """Algorithm and encoded part of a digest; raises InvalidDigest.

    Registered algorithms must have their length in lower-case hexadecimal; others only have to follow the grammar.
    """
    match = _DIGEST.fullmatch(value)
    if not match:
        raise InvalidDigest(f"{value!r} is not a digest: expected ALGORITHM:ENCODED such as sha256:6c3c...")
    algorithm, encoded = match[1], match[2]
    length = _LENGTHS.get(algorithm)
    if length is not None and (len(encoded) != length or not _HEX.issuperset(encoded)):
        raise InvalidDigest(f"{value!r} is not a digest: {algorithm} has {length} lower-case hexadecimal digits")
    return algorithm, encoded


def check(value: str) -> str:
    """The same string if it is a digest; raises InvalidDigest."""
    parse(value)
    return value


def of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of `content`."""
    hasher = _hasher(algorithm)
    hasher.update(content)
    return f"{algorithm}:{hasher.hexdigest()}"


def of_stream(stream: BinaryIO, algorithm: str = "sha256") -> tuple[str, int]:
    """Digest and size in bytes of everything that `stream` still holds."""
    hasher = _hasher(algorithm)
    size = 0
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return f"{algorithm}:{hasher.hexdigest()}", size


def _hasher(algorithm: str) -> "hashlib._Hash":
    if algorithm not in _LENGTHS:
        raise InvalidDigest(f"cannot compute {algorithm} digests: use one of {', '.join(_LENGTHS)}")
    return hashlib.new(algorithm)


class Verifier:
    """Checks content against its digest, and its size if known, while it passes by."""

    def __init__(self, digest: str, size: int | None = None, subject: str = "content") -> None:
        algorithm, _ = parse(digest)
        self.digest = digest
        self.size = size
        self.subject = subject
        self.seen = 0
        self._hasher = _hasher(algorithm)
        self._algorithm = algorithm

    def update(self, chunk: bytes | memoryview) -> None:
        """Takes the next bytes; raises DigestMismatch as soon as there are more than `size`."""
        self._hasher.update(chunk)
        self.seen += len(chunk)
        if self.size is not None and self.seen > self.size:
            raise DigestMismatch(f"{self.subject} {self.digest} is longer than the {self.size} bytes it should have")

    def finish(self) -> None:
        """Raises DigestMismatch unless size and digest are as promised."""
        if self.size is not None and self.seen != self.size:
            raise DigestMismatch(f"{self.subject} {self.digest} has {self.seen} bytes instead of {self.size}")
        found = f"{self._algorithm}:{self._hasher.hexdigest()}"
        if found != self.digest:
            raise DigestMismatch(f"{self.subject} {self.digest} has the digest {found}: it was changed or damaged")


class VerifyingReader:
    """A stream that hands on another's bytes and raises DigestMismatch at its end if they are not those promised."""

    def __init__(self, stream: BinaryIO, digest: str, size: int | None = None, subject: str = "content") -> None:
        self._stream = stream
        self._verifier = Verifier(digest, size, subject)
        self._finished = False

    def read(self, amount: int = -1) -> bytes:
        """Up to `amount` bytes, all that is left if negative, nothing at the (verified) end."""
        if amount < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        chunk = self._stream.read(amount)
        if chunk:
            self._verifier.update(chunk)
        elif amount and not self._finished:
            self._verifier.finish()
            self._finished = True
        return chunk
