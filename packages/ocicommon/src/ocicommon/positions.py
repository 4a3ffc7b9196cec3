"""Where the members of a JSON document stand: for error messages, so it is run only after something went wrong."""

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


class Place(NamedTuple):
    """A value: its path, the offset of its name (or of itself in a list), and the offset of the value."""

    path: Path
    name: int
    value: int


def places(text: str) -> Iterator[Place]:
    """Every value of `text`, parents first; `text` must be JSON (repeated names and NaN are allowed)."""
    stack: list[tuple[Path, bool, int]] = []
    path: Path = ()
    position = name = _skip(text, 0)
    while True:
        yield Place(path, name, position)
        opened = text[position]
        if opened in "{[":
            stack.append((path, opened == "{", -1))
            position = _skip(text, position + 1)
            closed = text[position] in "}]"
        else:
            position = scanstring(text, position + 1, True)[1] if opened == '"' else _end(text, position)
            closed = False
            if not stack:
                return
            position = _skip(text, position)
        while stack and (closed or text[position] in ",}]"):
            if not closed and text[position] == ",":
                position = _skip(text, position + 1)
                break
            stack.pop()
            if not stack:
                return
            position = _skip(text, position + 1)
            closed = False
        parent, is_object, index = stack[-1]
        name = position
        if is_object:
            member, position = scanstring(text, position + 1, True)
            position = _skip(text, _skip(text, position) + 1)
            path = (*parent, member)
        else:
            stack[-1] = (parent, False, index + 1)
            path = (*parent, index + 1)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _end(text: str, position: int) -> int:
    match = _SCALAR.match(text, position)
    return match.end() if match else position


def find(text: str, path: Path) -> tuple[Place, bool]:
    """The place of `path`, or of its nearest parent that exists; and whether it is the place itself."""
    best = Place((), 0, _skip(text, 0))
    for place in places(text):
        if len(place.path) >= len(best.path) and place.path == path[: len(place.path)]:
            best = place
            if place.path == path:
                return best, True
    return best, False


def repeated(text: str) -> Place | None:
    """The second of two members of one object that have the same name."""
    seen: set[Path] = set()
    for place in places(text):
        if place.path in seen:
            return place
        seen.add(place.path)
    return None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def shown(path: Path) -> str:
    """A path as people write it: `linux.devices[0].path`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_$-]+", part, re.ASCII):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text
