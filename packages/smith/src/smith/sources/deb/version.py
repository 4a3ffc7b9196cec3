"""Debian version numbers and their order (deb-version(7))."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(r"([^0-9]*)([0-9]*)")
Key = tuple[int, tuple[tuple[tuple[int, ...], int], ...], tuple[tuple[tuple[int, ...], int], ...]]


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _parts(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    found = [((*map(_weight, word), 0), int(number or 0)) for word, number in _PART.findall(text) if word or number]
    return (*found, ((0,), 0))


@lru_cache(maxsize=1 << 14)
def key(version: str) -> Key:
    """A value that sorts as dpkg --compare-versions does. Any text is accepted; an epoch that is no number is 0."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon:
        epoch, rest = "0", version.strip()
    upstream, _, revision = rest.rpartition("-")
    if not upstream:
        upstream, revision = rest, "0"
    return (int(epoch) if epoch.isdecimal() else 0, _parts(upstream), _parts(revision))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1."""
    a, b = key(left), key(right)
    return (a > b) - (a < b)


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Does `version` hold in a relation such as `>= 2.3`? `operator` is one of << <= = >= >> (and the old < and >)."""
    order = compare(version, wanted)
    if operator == "=":
        return order == 0
    if operator in ("<<",):
        return order < 0
    if operator in ("<=", "<"):
        return order <= 0
    if operator in (">>",):
        return order > 0
    return order >= 0
