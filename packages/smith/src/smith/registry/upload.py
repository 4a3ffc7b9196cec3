"""Blobs to a registry: found there, mounted from another repository, or uploaded and resumed after a cut."""

import hashlib
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Literal

from smith.content import Content
from smith.registry.address import shown
from smith.registry.client import Registry
from smith.registry.download import Advance, ignore
from smith.registry.errors import Broken, Denied, Mismatch, NotFound, RegistryError
from smith.registry.transport import CHUNK, Response

AT_ONCE = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?(\d+)-(\d+)", re.ASCII)
Outcome = Literal["present", "mounted", "uploaded"]


def push_blob(
    registry: Registry,
    digest: str,
    content: Content,
    *,
    mount_from: Sequence[str] = (),
    chunk: int = 0,
    advance: Advance = ignore,
) -> Outcome:
    """Sees to it that the repository has `content`, whose digest is `digest` (sha256).

    `mount_from` names repositories of the same registry that may have it; `chunk` bytes are sent at a time, everything
    in one request if 0. Raises Mismatch if the content is not what its digest says, Denied, RegistryError.
    """
    if registry.exists(digest):
        advance(content.size)
        return "present"
    location = None
    for other in mount_from:
        location = _mount(registry, digest, other)
        if location is None:
            advance(content.size)
            return "mounted"
    _Upload(registry, digest, content, chunk, advance).run(location)
    return "uploaded"


def _mount(registry: Registry, digest: str, other: str) -> str | None:
    """None if the blob was mounted from the repository `other`; else where it may be uploaded."""
    query = urllib.parse.urlencode({"mount": digest, "from": other})
    response = registry.request(
        "POST",
        registry.url(f"blobs/uploads/?{query}"),
        scope=registry.scope("pull,push", other),
        expect=(201, 202),
    )
    response.close()
    return None if response.status == 201 else _location(registry, response)


def _location(registry: Registry, response: Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise RegistryError(f"{shown(response.url)}: the registry does not say where to upload")
    return registry.transport.moved(response.url, location)


class _Restart(Exception):
    """The upload is of no more use; a new one may work."""


class _Part:
    """The bytes of a content from one offset to another, counted and hashed as they are sent."""

    def __init__(self, upload: "_Upload", start: int, end: int) -> None:
        self.upload, self.start, self.end = upload, start, end
        self.size = end - start

    def chunks(self) -> Iterator[bytes]:
        position = self.start
        self.upload.sent(position)
        while position < self.end:
            piece = self.upload.content.read_at(position, min(CHUNK, self.end - position))
            if not piece:
                raise Mismatch(f"the blob {self.upload.digest} ends after {position} bytes: its file was changed")
            self.upload.hash(position, piece)
            yield piece
            position += len(piece)
            self.upload.sent(position)


class _Upload:
    def __init__(self, registry: Registry, digest: str, content: Content, chunk: int, advance: Advance) -> None:
        self.registry = registry
        self.digest = digest
        self.content = content
        self.chunk = chunk
        self.advance = advance
        self.scope = registry.scope("pull,push")
        self._hasher = hashlib.sha256()
        self._hashed = 0
        self._told = 0
        self.resumed = False

    def hash(self, position: int, piece: bytes) -> None:
        """Hashes what was not hashed yet: after a cut the same bytes are sent again."""
        if position + len(piece) > self._hashed:
            self._hasher.update(piece[self._hashed - position :] if position < self._hashed else piece)
            self._hashed = position + len(piece)

    def sent(self, position: int) -> None:
        self.advance(position - self._told)
        self._told = position

    def run(self, location: str | None) -> None:
        failures = 0
        while True:
            before = self._hashed
            try:
                self.once(location or self.begin())
                return
            except (_Restart, Broken) as error:
                failures = 1 if self._hashed > before else failures + 1
                if failures >= self.registry.retry.attempts:
                    raise RegistryError(str(error)) from None
                self.registry.retry.pause(failures)
                self.sent(0)
                location = None

    def begin(self) -> str:
        response = self.registry.request(
            "POST", self.registry.url("blobs/uploads/"), scope=self.scope, body=b"", expect=(202,)
        )
        response.close()
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        if self.chunk and least.isascii() and least.isdigit():
            self.chunk = max(self.chunk, int(least[:12]))
        return _location(self.registry, response)

    def once(self, location: str) -> None:
        self.resumed = False
        size = self.content.size
        if size <= AT_ONCE and not self.chunk:
            self.finish(location, _Part(self, 0, size))
            return
        offset = 0
        failures = 0
        while offset < size:
            end = min(size, offset + self.chunk) if self.chunk else size
            try:
                offset, location = self.patch(location, offset, end)
                failures = 0
            except Broken:
                before = offset
                offset, location = self.status(location)
                self.resumed = True
                failures = 0 if offset > before else failures + 1
                if failures >= self.registry.retry.attempts:
                    raise
                if failures:
                    self.registry.retry.pause(failures)
        self.finish(location, None)

    def patch(self, location: str, start: int, end: int) -> tuple[int, str]:
        """Sends one part; the offset that the registry has by then, and where the next goes."""
        headers = {"Content-Type": "application/octet-stream"}
        if self.chunk or start:
            headers["Content-Range"] = f"{start}-{end - 1}"
        response = self.registry.request(
            "PATCH",
            location,
            scope=self.scope,
            headers=headers,
            body=_Part(self, start, end),
            expect=(202, 201, 204, 404, 416, 429, 500, 502, 503, 504),
            again=False,
        )
        response.start()
        response.close()
        if response.status == 404:
            raise _Restart(f"{shown(location)}: the registry forgot the upload")
        if response.status >= 400:
            if response.status != 416:
                self.registry.retry.pause(1, response.headers.get("Retry-After"))
            raise Broken(f"{shown(location)}: the registry answered {response.status}")
        have = _received(response)
        return (end if have is None else have), _location(self.registry, response)

    def status(self, location: str) -> tuple[int, str]:
        """How much the registry has of an upload that was cut, and where to go on."""
        try:
            response = self.registry.request("GET", location, scope=self.scope, expect=(204, 200, 202))
        except NotFound:
            raise _Restart(f"{shown(location)}: the registry forgot the upload") from None
        response.close()
        have = _received(response)
        # Registries write 0-0 for nothing and for one byte: only a new upload is sure.
        if have is None or have <= 1 or have > self.content.size:
            raise _Restart(f"{shown(location)}: the connection was cut")
        return have, (_location(self.registry, response) if response.headers.get("Location") else location)

    def finish(self, location: str, part: _Part | None) -> None:
        """Names the digest, with the last part if there is one."""
        if part is None:
            self.check()
        query = urllib.parse.urlencode({"digest": self.digest})
        url = location + ("&" if urllib.parse.urlsplit(location).query else "?") + query
        try:
            response = self.registry.request(
                "PUT",
                url,
                scope=self.scope,
                headers={"Content-Type": "application/octet-stream"},
                body=part or b"",
                expect=(201, 204, 404, 416, 429, 500, 502, 503, 504),
                again=False,
            )
        except Broken:
            # The answer was lost, not always the blob.
            if self.registry.exists(self.digest):
                return
            raise
        except Denied:
            raise
        except RegistryError as error:
            self.check()
            if not self.resumed:
                raise
            # The two sides may differ about where the cut was: once more from the start.
            raise _Restart(str(error)) from None
        response.start()
        response.close()
        if part is not None:
            self.check()
        if response.status >= 400 and not self.registry.exists(self.digest):
            self.registry.retry.pause(1, response.headers.get("Retry-After"))
            raise _Restart(f"PUT {shown(location)}: the registry answered {response.status}")

    def check(self) -> None:
        if self._hashed == self.content.size and f"sha256:{self._hasher.hexdigest()}" != self.digest:
            raise Mismatch(f"the blob {self.digest} has the digest sha256:{self._hasher.hexdigest()}: it is damaged")


def _received(response: Response) -> int | None:
    match = _RANGE.fullmatch(response.headers.get("Range") or "")
    return int(match[2]) + 1 if match else None
