"""Errors in documents say line, column and member."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocicommon import document, positions, runtime
from ocicommon.errors import InvalidDocument, OCIError

CONFIG = """{
  "ociVersion": "1.0.2",
  "process": {"cwd": "/", "args": ["a\\"]}", "b"]},
  "linux": {
    "resources": {
      "memory": {"swap": 1,
                 "limit": "512m"}
    },
    "devices": [{"type": "c", "path": "/dev/a"},
                {"type": "x", "path": "/dev/b"}]
  }
}
"""


def failure(text: str | bytes, name: str = "config.json") -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        document.parse(text, runtime.Config, name)
    return caught.value


def test_error_names_line_column_and_member() -> None:
    error = failure(CONFIG)
    assert str(error).startswith("config.json:")
    assert str(error).endswith("(and 1 more)")
    assert {(problem.line, problem.column, problem.member) for problem in error.problems} == {
        (7, 27, "linux.resources.memory.limit"),
        (10, 26, "linux.devices[1].type"),
    }


def test_missing_member_is_placed_at_its_object() -> None:
    error = failure('{"ociVersion": "1",\n "root": {"readonly": true}}')
    assert str(error) == "config.json:2:10 root.path: is missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.json:1:1: not JSON: expecting value"),
        ("{\n  oops\n}", "config.json:2:3: not JSON: expecting property name enclosed in double quotes"),
        ('{"a": 1} x', "config.json:1:10: not JSON: extra data"),
        ('{"ociVersion": NaN}', "config.json:1:16: not JSON: NaN is no JSON number"),
        ('{"ociVersion": -Infinity}', "config.json:1:16: not JSON: -Infinity is no JSON number"),
        ('{"ociVersion": "1",\n"ociVersion": "2"}', "config.json:2:1 ociVersion: named twice"),
        ('{"a": [{"b": 1, "b": 1}]}', "config.json:1:17 a[0].b: named twice"),
        ("[]", "config.json:1:1: expected an object, got a list"),
        ("7", "config.json:1:1: expected an object, got 7"),
        (b'{"a": "\xff"}', "config.json:1:8: not UTF-8 text"),
        ("[" * 200_000, "config.json:1:1: nested too deeply"),
        ('{"a": 1e400}', "config.json:1:7: not JSON: 1e400 is no JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "config.json:1:1: a number has too many digits"),
    ],
)
def test_bad_json_is_one_sentence(text: str | bytes, message: str) -> None:
    assert str(failure(text)) == message


def test_byte_order_mark_is_accepted() -> None:
    assert document.parse(b'\xef\xbb\xbf{"ociVersion": "1"}', runtime.Config).oci_version == "1"


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    with pytest.raises(OCIError, match=r"config.json:1:1 ociVersion: is missing"):
        document.load(path, runtime.Config)


def test_long_values_are_shortened() -> None:
    assert len(str(failure('{"ociVersion": [], "hostname": "' + "x" * 10000 + '"}'))) < 200
    assert len(str(failure('{"ociVersion": "1", "mounts": "' + "x" * 10000 + '"}'))) < 200


def test_positions_cover_every_value() -> None:
    text = ' {"a" : [ ] , "b":{"c":[1,[true,{}], "x"]}, "d" :-1.5e3 }'
    found = {positions.shown(place.path): text[place.value :] for place in positions.places(text)}
    assert list(found) == ["", "a", "b", "b.c", "b.c[0]", "b.c[1]", "b.c[1][0]", "b.c[1][1]", "b.c[2]", "d"]
    assert found["d"] == "-1.5e3 }"
    assert found["b.c[2]"].startswith('"x"')


def test_member_names_that_are_no_words_are_quoted() -> None:
    assert positions.shown(("linux", "sysctl", "net.ipv4", 3)) == 'linux.sysctl["net.ipv4"][3]'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from paths(item, (*path, name))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_value_of_any_document_is_found(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    decoder = json.JSONDecoder()
    found = [(place.path, decoder.raw_decode(text, place.value)[0]) for place in positions.places(text)]
    assert found == list(paths(value))
