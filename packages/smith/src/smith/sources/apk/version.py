"""Alpine version numbers and their order (apk-package(5), apk-world(5))."""

from __future__ import annotations

import re
from functools import lru_cache

_VERSION = re.compile(
    r"^(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_[a-z]+\d*)*)(?:~[0-9a-f]+)?(?:-r(?P<release>\d+))?$"
)
_SUFFIXES = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
Key = tuple[tuple[tuple[int, int, str], ...], str, tuple[tuple[int, int], ...], int]


@lru_cache(maxsize=1 << 13)
def key(version: str) -> Key:
    """A value that sorts as `apk version -t` does. A text that is no version sorts below all that are."""
    match = _VERSION.match(version)
    if match is None:
        return (), "", (), -1
    first, *rest = match["numbers"].split(".")
    numbers = [(1, int(first), "")]
    for part in rest:
        # a leading zero makes it a fraction, compared as text
        numbers.append((0, 0, part) if part.startswith("0") and len(part) > 1 else (1, int(part), ""))
    suffixes = []
    for part in match["suffixes"].split("_")[1:]:
        name = part.rstrip("0123456789")
        suffixes.append((_SUFFIXES.get(name, 0), int(part[len(name) :] or 0)))
    return tuple(numbers), match["letter"], (*suffixes, (0, 0)), int(match["release"] or 0)


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Does `version` hold in a dependency such as `>=1.2`? `~` asks for a version that begins so."""
    if "~" in operator:
        if version == wanted or re.match(re.escape(wanted) + r"(?![0-9])", version):
            return True
        return operator != "~" and operator != "=~" and _order(version, wanted, operator)
    return _order(version, wanted, operator)


def _order(version: str, wanted: str, operator: str) -> bool:
    left, right = key(version), key(wanted)
    return (
        ("<" in operator and left < right) or (">" in operator and left > right) or ("=" in operator and left == right)
    )
