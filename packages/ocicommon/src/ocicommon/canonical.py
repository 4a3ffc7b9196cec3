"""Canonical JSON, and the chain ids of layers."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ocicommon import digest
from ocicommon.errors import OCIError


def dumps(value: Any) -> bytes:
    """One spelling of a JSON value: members sorted by code point, no space, UTF-8, integers only.

    Raises OCIError for floats, other types and strings that are no text: their spelling is not the same everywhere.
    """
    _check(value, "")
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise OCIError(f"cannot write {text[error.start : error.start + 1]!r} as UTF-8 JSON") from None


def _check(value: Any, member: str) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                raise OCIError(f"{member or 'the document'} has the member name {name!r}, which is no string")
            _check(item, f"{member}.{name}" if member else name)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{member}[{index}]")
    elif value is not None and not isinstance(value, str | int):
        raise OCIError(f"{member or 'the document'} is {value!r}: canonical JSON has no {type(value).__name__}")


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """The chain id of each layer, bottom first, by the image specification's config.md (sha256)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        digest.check(diff_id)
        if chain:
            diff_id = "sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest()
        chain.append(diff_id)
    return chain
