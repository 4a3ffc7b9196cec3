"""The content-addressed cache: what was fetched once, and what was worked out from it.

Layout, under `$XDG_CACHE_HOME/smith` (default `~/.cache/smith`):

    blobs/ab/abcd...      a fetched file, named by its SHA-256
    derived/KIND/KEY      something computed from blobs alone (an unpacked stream, an index), named by its inputs
    tmp/                  files being written

A file takes its final name only when it is whole and its checksum is right, by rename(2), so that neither a crash nor a
lying mirror leaves a wrong entry, and so that several builds may share one cache.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from smith.errors import SmithError, VerificationError

CHUNK = 1 << 18
_STALE_SECONDS = 86400


def default_directory() -> Path:
    """`$XDG_CACHE_HOME/smith` (basedir-spec: a relative value is ignored), else `~/.cache/smith`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "smith"


class Incoming:
    """A blob being written: give it bytes, and `Cache.incoming` keeps it when the block ends without an error."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)

    def written(self) -> BinaryIO:
        """What was written so far, for a check that more than a checksum is needed for."""
        self._stream.flush()
        return open(self._path, "rb")

    def restart(self) -> None:
        """Forget what was written: a transfer that broke begins again."""
        self._stream.seek(0)
        self._stream.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Cache:
    """One cache directory. Safe for several threads and processes at once."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = Path(directory) if directory is not None else default_directory()
        self._blobs = self.directory / "blobs"
        self._tmp = self.directory / "tmp"
        try:
            self._tmp.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep()
        except OSError as error:
            raise SmithError(
                f"the cache {self.directory} cannot be used: {error.strerror}; set XDG_CACHE_HOME to a writable one"
            ) from None

    @property
    def temporary(self) -> Path:
        """A folder for files being made, beside the cache's own."""
        return self._tmp

    def path(self, sha256: str) -> Path:
        """Where the blob of that SHA-256 (64 hex digits) is or would be."""
        return self._blobs / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Is the blob here? A file of another size than `size` bytes is damaged: it is removed and counts as absent."""
        path = self.path(sha256)
        try:
            actual = path.stat().st_size
        except OSError:
            return False
        if size is not None and actual != size:
            path.unlink(missing_ok=True)
            return False
        return True

    def open(self, sha256: str) -> BinaryIO:
        """The blob, for reading. Raises SmithError if it is not in the cache."""
        try:
            return open(self.path(sha256), "rb")
        except OSError as error:
            raise SmithError(f"{sha256} is not in the cache {self.directory}: {error.strerror}") from None

    def read(self, sha256: str) -> bytes:
        with self.open(sha256) as stream:
            return stream.read()

    @contextmanager
    def incoming(
        self, expected_sha256: str | None = None, *, size: int | None = None, subject: str
    ) -> Iterator[Incoming]:
        """Write a blob. It is kept only if the block ends without an error and checksum and size are as expected.

        `subject` (an address or a path) is what an error speaks of.
        """
        with self._writing(subject) as (temporary, stream):
            blob = Incoming(stream, temporary)
            yield blob
            stream.close()
            if size is not None and blob.size != size:
                raise VerificationError(f"{subject}: {blob.size} bytes where {size} were promised; nothing was kept")
            if expected_sha256 is not None and blob.sha256 != expected_sha256:
                raise VerificationError(
                    f"{subject}: the checksum is sha256:{blob.sha256}, but sha256:{expected_sha256} was promised; "
                    "nothing was kept"
                )
            self._keep(temporary, self.path(blob.sha256))

    def put(self, stream: BinaryIO, *, subject: str = "input") -> str:
        """Copy a stream into the cache and return its SHA-256 in hex."""
        with self.incoming(subject=subject) as blob:
            while data := stream.read(CHUNK):
                blob.write(data)
        return blob.sha256

    def derive(self, kind: str, key: str, produce: Callable[[BinaryIO], None]) -> Path:
        """The file computed by `produce` for `key`; `produce` runs only if it is not here yet.

        `kind` names the computation and its version, `key` all that the result depends on, both fit for a file name.
        """
        path = self.directory / "derived" / kind / key
        if not path.exists():
            with self._writing(f"{kind}/{key}") as (temporary, stream):
                produce(stream)
                stream.close()
                self._keep(temporary, path)
        return path

    def remember(self, kind: str, key: str, data: bytes) -> None:
        """Keep a small document that may change, over what was kept before."""
        with self._writing(f"{kind}/{key}") as (temporary, stream):
            stream.write(data)
            stream.close()
            self._keep(temporary, self.directory / "derived" / kind / key)

    def recall(self, kind: str, key: str) -> bytes | None:
        """What was kept by `remember` last."""
        try:
            return (self.directory / "derived" / kind / key).read_bytes()
        except OSError:
            return None

    def forget(self, kind: str, key: str) -> None:
        """Remove something derived."""
        (self.directory / "derived" / kind / key).unlink(missing_ok=True)

    @contextmanager
    def _writing(self, subject: str) -> Iterator[tuple[Path, BinaryIO]]:
        temporary = self._tmp / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            with open(temporary, "xb") as stream:
                yield temporary, stream
        except OSError as error:
            raise SmithError(f"{subject}: cannot be written to the cache {self.directory}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def _keep(temporary: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o444)
        temporary.replace(path)

    def _sweep(self) -> None:
        """A killed process leaves its temporary file: remove those of yesterday."""
        for path in self._tmp.iterdir():
            try:
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue
