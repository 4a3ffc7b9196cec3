"""What an application's own package manager would bring: `requirements` (pip) and `package-json` (npm)."""

from typing import Final

from smith.cache import Cache
from smith.progress import Progress
from smith.sources import Input, SourceResult
from smith.spec import Spec

WHEEL: Final = "wheel"
NPM: Final = "npm"
KINDS: Final = (WHEEL, NPM)
"""The kinds of inputs that are an application's packages."""


def add(spec: Spec, source: SourceResult, cache: Cache, progress: Progress) -> list[str]:
    """Put it into the source's tree; the paths to take. SmithError of the kind that fits.

    Where a lock file has said which packages those are, exactly they are taken, and nobody is asked for any other.
    """
    made: list[str] = []
    if spec.requirements:
        from smith.applications import python

        made += python.add(spec, source, cache, progress)
    if spec.package_json:
        from smith.applications import node

        made += node.add(spec, source, cache, progress)
    return made


def asked(spec: Spec) -> dict[str, str]:
    """What decides which packages those are, as digests: what a lock file was made for. Files that are not there are
    left out: building says so."""
    found = {}
    if spec.requirements:
        from smith.applications import python

        found["requirements"] = python.digest(spec)
    if spec.package_json:
        from smith.applications import node

        found["package-json"] = node.digest(spec)
    return found


def locked(source: SourceResult, kind: str) -> list[Input] | None:
    """The packages of a kind that the lock file has; None without one."""
    return None if source.applications is None else [each for each in source.applications if each.kind == kind]
