"""JSON without the `json` package, whose imports (re, enum) cost more than reading a whole config.json.

The C scanner and encoder beneath `json` are used directly. Stricter than `json`: NaN, Infinity and duplicate keys
are refused, since two readers could understand them differently (RFC 8259 section 4).
"""

import _json

from railcar.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLANKS = " \t\n\r"


def _object(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ConfigError(f'the key "{key}" appears twice in one object: remove one of them')
            seen.add(key)
    return found


def _constant(name: str) -> "Any":
    raise ConfigError(f"{name} is not a JSON value")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ConfigError(f"{text[:40]} is too large a number")
    return value


class _Context:
    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = staticmethod(_number)
    parse_int = int
    parse_constant = staticmethod(_constant)
    memo: "dict[str, str]" = {}  # noqa: RUF012 - the scanner of some versions reads it


_scan: "Any" = _json.make_scanner(_Context())  # type: ignore[arg-type]


def _fallback(value: "Any") -> "Any":
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_encode = _json.make_encoder(None, _fallback, _json.encode_basestring_ascii, None, ":", ",", False, False, False)


def parse(data: bytes | str, name: str) -> "Any":
    """The value of the one JSON document in `data`; `name` is what errors call it. Raises ConfigError."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 at byte {error.start}") from None
    try:
        start = _skip(text, 0)
        value, end = _scan(text, start)
    except StopIteration as error:
        raise ConfigError(f"{name} is not JSON: {_place(text, error.value)}: a value is missing") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}") from None
    except ValueError as error:
        position = getattr(error, "pos", 0)
        reason = getattr(error, "msg", str(error))
        raise ConfigError(f"{name} is not JSON: {_place(text, position)}: {reason[:1].lower()}{reason[1:]}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply") from None
    except SystemError:
        raise ConfigError(f"{name} is not JSON: {_reason(text)}") from None
    end = _skip(text, end)
    if end != len(text):
        raise ConfigError(f"{name} is not JSON: {_place(text, end)}: text after the document")
    return value


def _reason(text: str) -> str:
    """What is wrong, by the json package: until that is imported, some scanners fail without an exception."""
    import json

    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"{_place(text, error.pos)}: {error.msg[:1].lower()}{error.msg[1:]}"
    except RecursionError:
        return "it is nested too deeply"
    return "the reason is unknown"


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, column {column}"


def read(path: str, name: str = "") -> "Any":
    """The JSON document in the file `path`. Raises ConfigError, and OSError if it cannot be read."""
    with open(path, "rb", buffering=0) as file:
        return parse(file.read(), name or path)


def compact(value: "Any") -> str:
    """`value` on one line, ASCII only, keys in their order."""
    return "".join(_encode(value, 0))


def indented(value: "Any", margin: str = "") -> str:
    """`value` as people read it, two spaces a level."""
    inner = margin + "  "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{compact(key)}: {indented(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{margin}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + indented(item, inner) for item in value) + f"\n{margin}]"
    return compact(value)
