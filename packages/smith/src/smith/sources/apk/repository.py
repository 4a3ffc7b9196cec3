"""An Alpine repository: its signed index, the packages in it, and how one is fetched and verified."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import rsa

from smith.cache import Cache
from smith.errors import InputError, SmithError
from smith.fetch import Fetcher, in_parallel
from smith.sources import Input
from smith.sources.apk import archive
from smith.sources.stanzas import Stanzas

_DEPENDENCY = re.compile(r"^(?P<name>[^<>=~@\s]+)(?:@(?P<tag>[^<>=~\s]+))?(?:(?P<operator>[<>=~]+)(?P<version>\S+))?$")


@dataclass(frozen=True, slots=True)
class Dependency:
    """`name`, perhaps with a version; `conflict` for one that begins with `!`."""

    name: str
    operator: str = ""
    version: str = ""
    conflict: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.conflict else ''}{self.name}{self.operator}{self.version}"


def dependencies(text: str, what: str) -> list[Dependency]:
    """A D: or p: line. InputError for what is no dependency."""
    found = []
    for word in text.split():
        match = _DEPENDENCY.match(word.removeprefix("!"))
        if match is None:
            raise InputError(f"{what}: not a dependency: {word!r}")
        found.append(
            Dependency(match["name"], match["operator"] or "", match["version"] or "", conflict=word.startswith("!"))
        )
    return found


class Record:
    """One package in one repository. `fields` are the index's, by their letters."""

    def __init__(self, text: str, base: str) -> None:
        self.text = text
        self.fields: dict[str, str] = {}
        for line in text.splitlines():
            key, colon, value = line.partition(":")
            if colon:
                self.fields.setdefault(key, value)
        self.base = base
        self.name = self.fields.get("P", "")
        self.version = self.fields.get("V", "")
        self.architecture = self.fields.get("A", "")
        if not self.name or not self.version:
            raise InputError(f"{base}: a package without a name or version in the index")

    @property
    def url(self) -> str:
        return f"{self.base}/{self.name}-{self.version}.apk"

    @property
    def checksum(self) -> str:
        return self.fields.get("C", "")

    @property
    def size(self) -> int:
        text = self.fields.get("S", "")
        return int(text) if text.isdecimal() else 0

    @property
    def priority(self) -> int:
        text = self.fields.get("k", "")
        return int(text) if text.isdecimal() else 0

    @cached_property
    def depends(self) -> list[Dependency]:
        return dependencies(self.fields.get("D", ""), str(self))

    @cached_property
    def provides(self) -> list[Dependency]:
        return dependencies(self.fields.get("p", ""), str(self))

    @cached_property
    def install_if(self) -> list[Dependency]:
        """The packages that, all chosen, make this one be chosen too."""
        return dependencies(self.fields.get("i", ""), str(self))

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Index:
    """The packages of one repository for one architecture."""

    def __init__(self, stanzas: Stanzas, base: str) -> None:
        self._stanzas = stanzas
        self._base = base
        self.providers = stanzas.providers
        """By what they provide, and by `if:NAME` where NAME is the first package of their install_if."""
        self.near = stanzas.near

    def named(self, name: str) -> list[Record]:
        return [Record(text, self._base) for text in self._stanzas.named(name)]


def _names(block: bytes) -> tuple[bytes, list[bytes]] | None:
    name = b""
    provides: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"P:"):
            name = line[2:].strip()
        elif line.startswith(b"p:"):
            provides += [re.split(rb"[<>=~@]", word, maxsplit=1)[0] for word in line[2:].split()]
        elif line.startswith(b"i:"):
            provides += [b"if:" + re.split(rb"[<>=~@]", word, maxsplit=1)[0] for word in line[2:].split()[:1]]
    return (name, provides) if name else None


def fetch_index(
    url: str, architecture: str, keys: Mapping[str, rsa.RSAPublicKey], fetcher: Fetcher
) -> tuple[Index, Input]:
    """Bring and verify APKINDEX.tar.gz. Raises VerificationError for its signature, SmithError when nothing answers."""
    base = f"{url.rstrip('/')}/{architecture}"
    address = f"{base}/APKINDEX.tar.gz"
    data = fetcher.news(address, limit=256 << 20)
    stream = io.BytesIO(data)
    signed = archive.verify(stream, keys, address)
    text = signed.files(address).get("APKINDEX")
    if text is None:
        raise InputError(f"{address}: has no APKINDEX in it")
    fetcher.remember(address, data)
    cache = fetcher.cache
    sha256 = cache.put(io.BytesIO(text), subject=address)
    with cache.incoming(subject=address) as blob:
        blob.write(data)
    stanzas = Stanzas(cache, cache.path(sha256), "apk-index-2", sha256, _names)
    return Index(stanzas, base), Input("index", address, blob.sha256, len(data))


def fetch_package(record: Record, fetcher: Fetcher) -> str:
    """Bring one package into the cache, verified against its index; its SHA-256."""
    if not record.checksum.startswith(("Q1", "Q2")):
        raise SmithError(f"{record}: its index has no checksum for it")
    key = record.checksum.replace("/", "_").replace("+", "-").rstrip("=")

    def produce(sink: BinaryIO) -> None:
        with fetcher.cache.incoming(subject=record.url, size=record.size or None) as blob:
            fetcher.stream(record.url, blob, limit=record.size or None)
            with blob.written() as stream:
                archive.verify_package(stream, record.checksum, record.url)
        sink.write(blob.sha256.encode())

    sha256 = fetcher.cache.derive("apk-package-1", key, produce).read_text()
    if not fetcher.cache.has(sha256, record.size or None):
        fetcher.cache.forget("apk-package-1", key)
        sha256 = fetcher.cache.derive("apk-package-1", key, produce).read_text()
    return sha256


def fetch_packages(records: Sequence[Record], fetcher: Fetcher) -> list[str]:
    """All of them, in parallel; SHA-256 in order."""
    return in_parallel(lambda record: fetch_package(record, fetcher), list(records), 6, fetcher.stop)


def local(path: str, cache: Cache) -> tuple[Record, str]:
    """A package file given by name: its record and SHA-256. Its own data checksum is checked, no signature."""
    try:
        with open(path, "rb") as stream:
            sha256 = cache.put(stream, subject=path)
    except OSError as error:
        raise SmithError(f"{path}: cannot be read: {error.strerror}") from None
    with cache.open(sha256) as stream:
        package = archive.verify_package(stream, None, path)
        checksum = archive.identity(package, stream, "Q1")
    letters = {"P": "pkgname", "V": "pkgver", "A": "arch", "I": "size", "T": "pkgdesc", "U": "url", "L": "license"}
    letters |= {"o": "origin", "m": "maintainer", "t": "builddate", "c": "commit"}
    lines = [f"C:{checksum}"] + [f"{k}:{package.value(v)}" for k, v in letters.items() if package.value(v)]
    for letter, name in (("D", "depend"), ("p", "provides")):
        if package.info.get(name):
            lines.append(f"{letter}:{' '.join(package.info[name])}")
    return Record("\n".join(lines) + "\n", "file://"), sha256
