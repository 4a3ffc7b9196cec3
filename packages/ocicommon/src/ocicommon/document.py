"""Loads JSON documents into the specifications' models, with errors that a person can act on."""

import json
import math
import os
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ocicommon.errors import InvalidDocument, Problem
from ocicommon.oci.base import Document
from ocicommon.positions import Path, find, line_and_column, repeated, shown

_D = TypeVar("_D", bound=Document)
_LONGEST = 16 << 20
_EXPECTED = {
    "int_type": "expected an integer",
    "string_type": "expected a string",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "float_type": "expected a number",
}


class _Repeated(Exception):
    pass


def load(path: str | os.PathLike[str], model: type[_D]) -> _D:
    """The document in the file `path` as a `model`. Raises InvalidDocument, and OSError if it cannot be read."""
    with open(path, "rb") as file:
        return parse(file.read(_LONGEST + 1), model, os.fspath(path))


def parse(content: bytes | str, model: type[_D], name: str = "document") -> _D:
    """The document in `content` as a `model`; `name` is what errors call it. Raises InvalidDocument."""
    text = _text(content, name)
    value = _json(text, name)
    try:
        return model.from_dict(value)
    except ValidationError as error:
        raise InvalidDocument(name, [_problem(text, value, detail) for detail in error.errors()]) from None


def _text(content: bytes | str, name: str) -> str:
    if len(content) > _LONGEST:
        raise InvalidDocument(name, [Problem(1, 1, "", f"longer than {_LONGEST >> 20} MiB")])
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = content.count(b"\n", 0, error.start) + 1, error.start - content.rfind(b"\n", 0, error.start)
        raise InvalidDocument(name, [Problem(line, column, "", "not UTF-8 text")]) from None


def _json(text: str, name: str) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise _Repeated
        return value

    def constant(word: str) -> Any:
        offset = text.find(word)
        raise json.JSONDecodeError(f"{word} is no JSON number", text, offset)

    def number(word: str) -> Any:
        value = float(word)
        return constant(word) if math.isinf(value) else value

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=constant, parse_float=number)
    except json.JSONDecodeError as error:
        what = error.msg[0].lower() + error.msg[1:] if error.msg[:1] != "N" else error.msg
        raise InvalidDocument(name, [Problem(error.lineno, error.colno, "", f"not JSON: {what}")]) from None
    except ValueError:  # the interpreter's limit on the digits of an integer
        raise InvalidDocument(name, [Problem(1, 1, "", "a number has too many digits")]) from None
    except RecursionError:
        raise InvalidDocument(name, [Problem(1, 1, "", "nested too deeply")]) from None
    except _Repeated:
        place = repeated(text)
        if place is None:
            raise InvalidDocument(name, [Problem(1, 1, "", "a member is named twice")]) from None
        line, column = line_and_column(text, place.name)
        raise InvalidDocument(name, [Problem(line, column, shown(place.path), "named twice")]) from None


def _problem(text: str, value: Any, detail: ErrorDetails) -> Problem:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    place, exact = find(text, path)
    line, column = line_and_column(text, place.value)
    missing = detail["type"] == "missing"
    return Problem(line, column, shown(path if exact or missing else place.path), _explanation(detail))


def _explanation(detail: ErrorDetails) -> str:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "missing":
        return "is missing"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}, got {_brief(given)}"
    if kind == "literal_error":
        return f"expected {context['expected']}, got {_brief(given)}"
    if kind == "greater_than_equal":
        return f"expected {context['ge']} or more, got {_brief(given)}"
    if kind == "less_than_equal":
        return f"expected {context['le']} or less, got {_brief(given)}"
    if kind == "string_pattern_mismatch":
        return f"expected text like {context['pattern']}, got {_brief(given)}"
    if kind == "too_short":
        return f"expected at least {context['min_length']} element(s), got {context['actual_length']}"
    if kind == "value_error":
        problem = str(context["error"])
        return problem if repr(given) in problem else f"{problem}, got {_brief(given)}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {_brief(given)}"


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
