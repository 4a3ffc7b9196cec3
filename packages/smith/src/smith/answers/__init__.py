"""Questions about an image, answered as data: what is in it, why, what differs, whether the promises hold."""

import json
from dataclasses import dataclass
from typing import Any

from smith import imagefile, installed, recipe
from smith.imagefile import Image
from smith.progress import Progress
from smith.sources import Package
from smith.tree import Tree


@dataclass(slots=True)
class Known:
    """An image with all that it says of itself. `reasons` is path -> {kind, via, detail, package}, empty if unknown."""

    image: Image
    tree: Tree
    packages: list[Package]
    reasons: dict[str, dict[str, str]]
    documents: dict[str, bytes]

    def owner(self, path: str) -> str:
        """The package of a file, or empty."""
        node = self.tree.get(path)
        said = self.reasons.get(path, {}).get("package", "")
        return said or (node.package if node is not None and node.package else "")


def know(image: Image, progress: Progress | None = None) -> Known:
    """Read all of an image."""
    tree = image.tree(progress)
    packages = installed.packages(tree)
    installed.own_files(tree, packages)
    documents = imagefile.documents(image)
    raw: Any = json.loads(documents.get(recipe.REASONS_TYPE, b"{}"))
    reasons = (
        {str(path): entry for path, entry in raw.items() if isinstance(entry, dict)} if isinstance(raw, dict) else {}
    )
    return Known(image, tree, packages, reasons, documents)
