"""Newer versions of packages, by the archives of a spec."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.fetch import Fetcher
from smith.progress import Progress
from smith.sources import Package
from smith.sources.deb import version
from smith.sources.deb.load import architecture_of, open_sources
from smith.sources.deb.universe import Universe
from smith.spec import Spec


def newer(spec: Spec, packages: Sequence[Package], cache: Cache, progress: Progress) -> dict[str, str]:
    """Name -> version, for each of `packages` whose candidate is newer now."""
    architecture = architecture_of(spec.platform)
    fetcher = Fetcher(cache, progress, verify_tls=not spec.insecure, fast=spec.fast)
    sources = open_sources(spec, architecture, fetcher)
    universe = Universe(sources.indexes, architecture, sources.pins)
    found = {}
    for package in packages:
        record = universe.candidate(package.name)
        if record is not None and version.compare(record.version, package.version) > 0:
            found[package.name] = record.version
    return found
