"""A locked build's .apk files, which the cache has by digest, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.lock import Entry
from smith.sources import Input, SourceResult
from smith.sources.apk.load import architecture_of, assemble
from smith.sources.apk.repository import Record


def load(entries: Sequence[Entry], cache: Cache, platform: str, others: Sequence[Input]) -> SourceResult:
    """The same tree as the build that was locked. `entries` are in the order of that tree's making."""
    digests: dict[Record, str] = {}
    partial = set()
    for entry in entries:
        record = Record(entry.record, entry.url.rpartition("/")[0])
        digests[record] = entry.sha256
        if entry.kind == "identity":
            partial.add(record)
    return assemble(list(reversed(digests)), digests, cache, architecture_of(platform), others, partial)
