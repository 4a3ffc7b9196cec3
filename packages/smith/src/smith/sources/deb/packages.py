"""The packages of an archive: its Packages files, indexed once in the cache, and one package's record."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smith.cache import Cache
from smith.errors import InputError, SmithError
from smith.fetch import Fetcher
from smith.sources import Input
from smith.sources.deb import control
from smith.sources.deb.control import Relation, Stanza
from smith.sources.deb.release import Release
from smith.sources.stanzas import Stanzas
from smith.sources.stored import plain_file

_STANZA = re.compile(rb"^Package: *([^\n]+)$", re.M)
_PROVIDES = re.compile(rb"^Provides: *([^\n]+(?:\n [^\n]+)*)$", re.M)
_VERSION = re.compile(rb"^Version: *([^\n]+)$", re.M)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One version of one package in one index. `base` is the address that `Filename` is relative to."""

    name: str
    version: str
    stanza: Stanza
    base: str
    release: Release | None

    @property
    def architecture(self) -> str:
        return self.stanza.value("Architecture")

    @property
    def url(self) -> str:
        return f"{self.base}/{self.stanza.value('Filename').removeprefix('./')}"

    @property
    def sha256(self) -> str:
        return self.stanza.value("SHA256").lower()

    @property
    def size(self) -> int:
        text = self.stanza.value("Size")
        return int(text) if text.isdecimal() else 0

    @property
    def source(self) -> tuple[str, str]:
        """Source package and its version."""
        text = self.stanza.value("Source") or self.name
        match = re.match(r"^(\S+)(?:\s+\(([^)]+)\))?", text)
        if match is None:
            return self.name, self.version
        return match.group(1), match.group(2) or self.version

    def relations(self, *fields: str) -> list[tuple[Relation, ...]]:
        found: list[tuple[Relation, ...]] = []
        for field in fields:
            if field in self.stanza:
                found += control.relations(self.stanza.value(field), f"{self.name} {self.version}, {field}")
        return found

    @property
    def provides(self) -> list[Relation]:
        return [group[0] for group in self.relations("Provides")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Index:
    """One Packages file in the cache."""

    def __init__(self, stanzas: Stanzas, base: str, release: Release | None) -> None:
        self._stanzas = stanzas
        self._base = base
        self.release = release
        self.providers = stanzas.providers
        self.near = stanzas.near

    def named(self, name: str) -> list[Record]:
        """Every version of the package of that name."""
        return [self._record(text) for text in self._stanzas.named(name)]

    def _record(self, text: str) -> Record:
        stanza = control.parse(text, self._base)
        name, version = stanza.value("Package"), stanza.value("Version")
        if not name or not version:
            raise InputError(f"{self._base}: a package without a name or version in the index")
        return Record(name, version, stanza, self._base, self.release)


def _names(block: bytes) -> tuple[bytes, list[bytes]] | None:
    match = _STANZA.search(block)
    if match is None or _VERSION.search(block) is None:
        return None
    provided = []
    provides = _PROVIDES.search(block)
    for part in provides.group(1).split(b",") if provides else ():
        words = part.split(b"(", 1)[0].split(b":", 1)[0].split()
        if words:
            provided.append(words[0])
    return match.group(1).strip(), provided


def open_index(cache: Cache, sha256: str, what: str, base: str, release: Release | None) -> Index:
    """The index over a Packages file (compressed or not) that is in the cache."""
    path = plain_file(cache, sha256, what)
    return Index(Stanzas(cache, path, "deb-index-1", sha256, _names), base, release)


def fetch(release: Release, architecture: str, fetcher: Fetcher) -> tuple[list[Index], list[Input]]:
    """The indexes of one suite for an architecture (and for `all`, where the suite keeps that apart)."""
    archive = release.archive
    if archive.architectures and architecture not in archive.architectures:
        return [], []
    wanted = [architecture]
    if (
        "Packages" not in release.fields.value("No-Support-for-Architecture-all").split()
        and "all" in release.architectures
    ):
        wanted.append("all")
    indexes, inputs = [], []
    base = archive.base if archive.flat else archive.url.rstrip("/")
    for component in archive.components or ("",):
        found = False
        for arch in wanted if component else wanted[:1]:
            entry = release.index(component, arch)
            if entry is None:
                continue
            found = True
            url, sha256, size = entry
            fetcher.fetch(url, sha256, size)
            inputs.append(Input("index", url, sha256, size))
            indexes.append(open_index(fetcher.cache, sha256, url, base, release))
        if not found and component and component not in _known(release):
            known = ", ".join(sorted(_known(release))) or "none"
            raise SmithError(f"{archive}: there is no component {component!r} (there are: {known})")
    return indexes, inputs


def _known(release: Release) -> set[str]:
    names = release.fields.value("Components").split()
    return {name.removeprefix(release.archive.suite.partition("/")[2] + "/") for name in names} | {
        name.rpartition("/")[2] for name in names
    }
