"""A locked build's .rpm files, which the cache has by digest, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.lock import Entry
from smith.sources import Input, SourceResult
from smith.sources.rpm import configuration
from smith.sources.rpm.load import assemble
from smith.sources.rpm.universe import Chosen


def load(entries: Sequence[Entry], cache: Cache, platform: str, others: Sequence[Input]) -> SourceResult:
    """The same tree as the build that was locked. `entries` are in the order of that tree's making."""
    chosen = [
        Chosen(e.name, e.version, e.arch, e.url, "sha256", e.sha256, e.size, licence="", source_rpm="", repository=None)
        for e in entries
    ]
    fetched = [(entry.url, entry.sha256) for entry in entries]
    return assemble(chosen, fetched, cache, configuration.architecture_of(platform), others)
