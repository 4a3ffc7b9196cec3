"""Newer versions of packages, by the repositories of a spec."""

from __future__ import annotations

from collections.abc import Sequence

from smith.cache import Cache
from smith.progress import Progress
from smith.sources import Package
from smith.sources.rpm.load import open_repositories
from smith.sources.rpm.universe import Universe
from smith.spec import Spec


def newer(spec: Spec, packages: Sequence[Package], cache: Cache, progress: Progress) -> dict[str, str]:
    """Name -> version, for each of `packages` whose newest is newer now."""
    architecture, repositories = open_repositories(spec, cache, progress)
    return Universe(repositories, architecture).newer({package.name: package.version for package in packages})
