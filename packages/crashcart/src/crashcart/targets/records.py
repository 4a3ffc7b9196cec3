"""Records that engines write as JSON, read without the ``json`` package: its imports take longer than a session's."""

from __future__ import annotations

import _json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What a record of another shape than expected raises when it is looked into.
MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, IndexError)
_LARGEST = 64 << 20
_BLANKS = " \t\n\r"


class _Context:
    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner of some versions reads it


_scan: Any = _json.make_scanner(_Context())  # type: ignore[arg-type]


def read(path: str) -> Any:
    """The value of a file. OSError and ValueError; never waits, whatever a user has put in its place."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000 or found.st_size > _LARGEST:
            raise ValueError(f"{path} is no record")
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
    finally:
        os.close(fd)
    return parse(b"".join(parts))


def parse(data: bytes) -> Any:
    """The value of a JSON document. ValueError when it is none. RFC 8259."""
    text = data.decode("utf-8").strip(_BLANKS)
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON value at character {error.value}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if end != len(text):
        raise ValueError(f"more behind the JSON value, at character {end}")
    return value
