"""Choosing packages: the first alternative, unless something is in the way."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smith.errors import SmithError
from smith.problem import Candidate, Need
from smith.solver import solve


def world(*candidates: tuple[list[list[int]], list[int]]) -> list[Candidate]:
    return [
        Candidate(f"p{n}", tuple(Need(tuple(c), f"any of {c}") for c in needs), tuple(excludes))
        for n, (needs, excludes) in enumerate(candidates)
    ]


def chosen(found: list[Candidate], *requests: int) -> list[int]:
    return sorted(solve(requests, found.__getitem__).chosen)


def test_the_first_alternative_is_taken() -> None:
    assert chosen(world(([[1, 2]], []), ([], []), ([], [])), 0) == [0, 1]


def test_what_is_in_already_counts() -> None:
    assert chosen(world(([[1, 2]], []), ([], []), ([], [])), 0, 2) == [0, 2]


def test_cycles_end() -> None:
    assert chosen(world(([[1]], []), ([[0]], [])), 0) == [0, 1]


def test_a_later_conflict_makes_it_look_again() -> None:
    assert chosen(world(([[1, 2], [3]], []), ([], []), ([], []), ([], [1])), 0) == [0, 2, 3]


def test_reasons_lead_back_to_a_request() -> None:
    solution = solve([0], world(([[1]], []), ([[2]], []), ([], [])).__getitem__)
    assert solution.reasons == {0: None, 1: 0, 2: 1}


def test_requests_that_exclude_each_other_are_named() -> None:
    with pytest.raises(SmithError, match="p0 conflicts with p1"):
        chosen(world(([], [1]), ([], [])), 0, 1)


def test_a_need_that_nothing_meets_is_named() -> None:
    with pytest.raises(SmithError, match=r"p1 needs any of \[\], which no source has"):
        chosen(world(([[1]], []), ([[]], [])), 0)


numbers = st.integers(0, 6)
candidates = st.tuples(
    st.lists(st.lists(numbers, min_size=1, max_size=3, unique=True), max_size=3), st.lists(numbers, max_size=1)
)


def valid(found: list[Candidate], picked: set[int]) -> bool:
    return all(
        all(any(c in picked for c in need.choices) for need in found[n].needs)
        and not any(e in picked and e != n for e in found[n].excludes)
        for n in picked
    )


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(candidates, min_size=7, max_size=7))
def test_it_finds_a_solution_exactly_when_there_is_one(items: list[tuple[list[list[int]], list[int]]]) -> None:
    found = world(*items)
    others = [set(c) | {0} for size in range(7) for c in itertools.combinations(range(1, 7), size)]
    possible = any(valid(found, picked) for picked in others)
    try:
        picked = set(solve([0], found.__getitem__).chosen)
    except SmithError:
        assert not possible
    else:
        assert possible
        assert 0 in picked
        assert valid(found, picked)
