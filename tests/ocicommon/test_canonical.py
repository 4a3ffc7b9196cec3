"""Canonical JSON has one spelling; chain ids follow the specification."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocicommon import canonical
from ocicommon.errors import InvalidDigest, OCIError

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_members_are_sorted_without_space_in_utf8() -> None:
    value = {"b": [1, None, True], "a": {"é": "☃\n", "Z": ()}}
    assert canonical.dumps(value) == '{"a":{"Z":[],"é":"☃\\n"},"b":[1,null,true]}'.encode()


@pytest.mark.parametrize("value", [1.5, {"a": float("nan")}, {1: 2}, "\ud800", {"a": [b"x"]}, {"a": {1, 2}}])
def test_what_has_no_one_spelling_is_refused(value: object) -> None:
    with pytest.raises(OCIError):
        canonical.dumps(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "\ud800" not in str(value))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(JSON)
def test_round_trip(value: object) -> None:
    try:
        text = canonical.dumps(value)
    except OCIError:
        return
    assert json.loads(text) == value
    assert canonical.dumps(json.loads(text)) == text


def test_chain_ids() -> None:
    second = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {A}".encode()).hexdigest()
    assert canonical.chain_ids([A, B, A]) == [A, second, third]
    assert canonical.chain_ids([]) == []
    with pytest.raises(InvalidDigest):
        canonical.chain_ids(["x"])
