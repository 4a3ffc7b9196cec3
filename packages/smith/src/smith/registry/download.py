"""Blobs from a registry: streamed, verified on every byte, resumed by range where a connection was cut."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ocicommon import digest as digests
from ocicommon.errors import DigestMismatch, InvalidDigest

from smith.registry.address import shown
from smith.registry.beside import Beside
from smith.registry.client import Registry
from smith.registry.errors import Broken, Mismatch, RegistryError
from smith.registry.transport import Response

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)
Write = Callable[[int, memoryview], None]
Advance = Callable[[int], None]


def ignore(amount: int) -> None:
    """Progress that nobody looks at."""


def fetch(registry: Registry, descriptor: Mapping[str, Any], write: Write, advance: Advance = ignore) -> None:
    """The blob of `descriptor`, given to `write(offset, bytes)`, from 0 on again where a server cannot resume.

    What was written is to be thrown away when this raises: Mismatch (digest or size), NotFound, Denied, RegistryError.
    """
    _Download(registry, descriptor, write, advance).run()


class _Download:
    def __init__(self, registry: Registry, descriptor: Mapping[str, Any], write: Write, advance: Advance) -> None:
        self.registry = registry
        self.digest = str(descriptor.get("digest"))
        size = descriptor.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Mismatch(f"{registry.address}: the blob {self.digest} has no size in its descriptor")
        self.size = size
        self.url = registry.url(f"blobs/{self.digest}")
        self.write = write
        self.advance = advance
        self.have = 0
        self.restart()

    def restart(self) -> None:
        self.advance(-self.have)
        self.have = 0
        try:
            self.verifier = digests.Verifier(self.digest, self.size, subject="blob")
        except InvalidDigest as error:
            raise Mismatch(f"{self.registry.address}: {error}") from None

    def run(self) -> None:
        failures = 0
        while True:
            before = self.have
            try:
                self.once()
                return
            except DigestMismatch as error:
                raise Mismatch(f"{shown(self.url)}: {error}") from None
            except Broken:
                # Anything that came through is progress: a long blob may be cut more often than there are tries.
                failures = 1 if self.have > before else failures + 1
                if failures >= self.registry.retry.attempts:
                    raise
                self.registry.retry.pause(failures)

    def once(self) -> None:
        headers = {"Range": f"bytes={self.have}-"} if 0 < self.have < self.size else {}
        if self.have and not headers:
            self.restart()
        expect = (200, 206) if headers else (200,)
        with self.registry.request(
            "GET", self.url, scope=self.registry.scope(), headers=headers, expect=(*expect, 416)
        ) as response:
            self.agree(response)
            self.receive(response)
            if self.have < self.size:
                raise Broken(f"{shown(self.url)}: ended after {self.have} of {self.size} bytes")
            self.verifier.finish()

    def receive(self, response: Response) -> None:
        beside = Beside(self.verifier, self.size)
        try:
            while count := response.readinto(buffer := beside.buffer()):
                if self.have + count > self.size:
                    raise Mismatch(f"{shown(self.url)}: is longer than the {self.size} bytes it should have")
                self.write(self.have, buffer[:count])
                self.have += count
                self.advance(count)
                beside.take(buffer, count)
        finally:
            beside.end()

    def agree(self, response: Response) -> None:
        """Takes up where the answer starts; raises where its length is not the promised one."""
        if response.status == 416:
            if self.have:
                self.restart()
                raise Broken(f"{shown(self.url)}: the registry cannot resume")
            raise RegistryError(f"{shown(self.url)}: the registry answered 416 to a request without a range")
        if response.status == 206:
            match = _RANGE.fullmatch(response.headers.get("Content-Range") or "")
            if not match or int(match[1]) != self.have:
                self.restart()
                raise Broken(f"{shown(self.url)}: the registry sent another range than it was asked for")
        elif self.have:
            self.restart()
        if response.length is not None and response.length != self.size - self.have:
            total = response.length + self.have
            raise Mismatch(f"{shown(self.url)}: has {total} bytes, its descriptor says {self.size}")
