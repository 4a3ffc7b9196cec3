"""Newer versions of packages, by the repositories of a spec."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.progress import Progress
from smith.sources import Package
from smith.sources.apk import version
from smith.sources.apk.load import open_indexes
from smith.sources.apk.universe import Universe
from smith.spec import Spec


def newer(spec: Spec, packages: Sequence[Package], cache: Cache, progress: Progress) -> dict[str, str]:
    """Name -> version, for each of `packages` whose candidate is newer now."""
    architecture, _, answers = open_indexes(spec, cache, progress)
    universe = Universe([index for index, _ in answers], architecture)
    found = {}
    for package in packages:
        record = universe.candidate(package.name)
        if record is not None and version.key(record.version) > version.key(package.version):
            found[package.name] = record.version
    return found
