"""Choosing packages: each needs one of some others and excludes some, and no more is wanted than needed.

The families differ in names, versions and provides; here all that is decided already, and a package is a number. The
first attempt does what a package manager's own resolver does: it takes the first alternative of each need unless
another is in already. Only if that meets a conflict does libsolv look for any solution, favouring the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence

from smith.problem import Look, Solution


def solve(requests: Sequence[int], look: Look) -> Solution:
    """Find what to install. `look` gives a candidate by number and is asked only for what is within reach.

    SmithError with one sentence when there is no solution: it names the packages and what stands in the way.
    """
    chosen: dict[int, int | None] = dict.fromkeys(requests)
    pending = [(number, need) for number in reversed(requests) for need in reversed(look(number).needs)]
    failed = False
    while pending:
        number, need = pending.pop()
        if any(choice in chosen for choice in need.choices):
            continue
        pick = next((c for c in need.choices if not _clashes(c, chosen, look)), None)
        if pick is None:
            failed = True
            break
        chosen[pick] = number
        pending.extend((pick, need) for need in reversed(look(pick).needs))
    if not failed and not any(_clashes(number, chosen, look) for number in chosen):
        return Solution(tuple(chosen), chosen)
    # libsolv takes 5 MB of memory, and few requests meet a conflict.
    from smith.search import search

    return search(requests, look)


def _clashes(number: int, chosen: dict[int, int | None], look: Look) -> bool:
    return any(e in chosen and e != number for e in look(number).excludes) or any(
        number in look(other).excludes for other in chosen if other != number
    )
