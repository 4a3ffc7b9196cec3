"""Which packages have newer versions by now, and which of those fix known vulnerabilities."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smith.cache import Cache
from smith.errors import InputError, SmithError
from smith.progress import Progress
from smith.sources import Package
from smith.sources.deb import version as debian
from smith.spec import Spec


@dataclass(frozen=True, slots=True)
class Outdated:
    """One package with a newer version. `fixes` are the vulnerabilities that the tracker says the newer one fixes."""

    name: str
    version: str
    newest: str
    fixes: tuple[str, ...] = ()


def check(
    spec: Spec,
    packages: Iterable[Package],
    cache: Cache,
    progress: Progress,
    tracker: Mapping[str, Any] | None = None,
    release: str = "",
) -> list[Outdated]:
    """Ask the spec's repositories anew. SmithError as loading does.

    `tracker` is Debian's security tracker data (source -> CVE -> releases), `release` the codename to look under.
    """
    packages = list(packages)
    if spec.type not in ("deb", "rpm", "apk"):
        raise SmithError(f"type {spec.type or 'rootfs'} has no repository to ask for newer versions")
    module = importlib.import_module(f"smith.sources.{spec.type}.newest")
    newest: dict[str, str] = module.newer(spec, packages, cache, progress)
    return [
        Outdated(p.name, p.version, newest[p.name], fixes(p, newest[p.name], tracker or {}, release))
        for p in sorted(packages, key=lambda p: p.name)
        if p.name in newest
    ]


def fixes(package: Package, newest: str, tracker: Mapping[str, Any], release: str) -> tuple[str, ...]:
    """The vulnerabilities fixed in a version above the package's source version, by Debian's tracker."""
    have = package.source_version or package.version
    found = []
    for name, entry in tracker.get(package.source or package.name, {}).items():
        releases = entry.get("releases", {}) if isinstance(entry, dict) else {}
        said = releases.get(release) or {}
        fixed = said.get("fixed_version", "")
        if said.get("status") == "resolved" and fixed not in ("", "0") and debian.compare(have, fixed) < 0:
            found.append(name)
    return tuple(sorted(found))


def read_tracker(path: str) -> dict[str, Any]:
    """The tracker's JSON file. InputError when it is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        raise InputError(f"{path}: is not the security tracker's data (an object of source packages)")
    return data
