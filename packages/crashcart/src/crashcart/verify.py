"""``crashcart verify``: an image checked against its own description, and that description for people."""

from __future__ import annotations

from crashcart import image, trailer
from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def verify(path: str) -> dict[str, Any]:
    """The description of a whole image. CrashcartError when anything of it is not as it was made."""
    document = trailer.read(path)
    with open(path, "rb") as file:
        found = image.identify(file.read(4096))
    if found != document.get("format"):
        raise CrashcartError(f"{path} is damaged: it is {found or 'no filesystem'} and says {document.get('format')}")
    return document


def as_table(document: dict[str, Any]) -> str:
    """Packages, versions and licences."""
    rows = [("PACKAGE", "VERSION", "LICENCE")]
    rows += [(one["name"], one["version"], one.get("licence") or "-") for one in document["packages"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{document['format']} for {document['architecture']}: whole", ""])
