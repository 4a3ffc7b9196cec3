"""A locked build's .deb files, which the cache has by digest, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.lock import Entry
from smith.sources import Input, SourceResult
from smith.sources.deb.archive import open_deb
from smith.sources.deb.load import architecture_of, assemble
from smith.sources.deb.packages import Record


def load(entries: Sequence[Entry], cache: Cache, platform: str, others: Sequence[Input]) -> SourceResult:
    """The same tree as the build that was locked. `entries` are in the order of that tree's making."""
    digests: dict[Record, str] = {}
    partial = set()
    for entry in entries:
        stanza = open_deb(cache, entry.sha256, f"{entry.name} {entry.version}").control
        base, _, stanza["Filename"] = entry.url.rpartition("/")
        record = Record(stanza.value("Package"), stanza.value("Version"), stanza, base, None)
        digests[record] = entry.sha256
        if entry.kind == "identity":
            partial.add(record)
    return assemble(list(reversed(digests)), digests, cache, architecture_of(platform), others, partial)
