"""Choosing packages as a problem of numbers: each needs one of some others, and excludes some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """One requirement: any of `choices` (numbers, best first); `text` is how it is written in the package."""

    choices: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One package. `excludes` are the numbers that cannot be beside it."""

    name: str
    needs: tuple[Need, ...]
    excludes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Solution:
    """Numbers chosen: the requests, then what they need. `reasons` maps each to who needed it (None: asked for)."""

    chosen: tuple[int, ...]
    reasons: dict[int, int | None]


Look = Callable[[int], Candidate]
