"""What an application's own package manager would bring: `requirements` (pip) and `package-json` (npm)."""

from smith.cache import Cache
from smith.progress import Progress
from smith.sources import SourceResult
from smith.spec import Spec


def add(spec: Spec, source: SourceResult, cache: Cache, progress: Progress) -> list[str]:
    """Put it into the source's tree; the paths to take. SmithError of the kind that fits."""
    made: list[str] = []
    if spec.requirements:
        from smith.applications import python

        made += python.add(spec, source, cache, progress)
    if spec.package_json:
        from smith.applications import node

        made += node.add(spec, source, cache, progress)
    return made
