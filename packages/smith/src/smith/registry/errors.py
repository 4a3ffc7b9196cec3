"""What a registry refused, or sent wrongly.

RegistryError             the registry refused, failed, or sent what it must not
├── NotFound              the repository, tag, manifest or blob is not there
├── Denied                the credentials are missing or not enough
├── Broken                the connection failed on the way; may be tried again
└── Mismatch              content that is not what its digest or size says
"""

import json
from collections.abc import Sequence

from smith.errors import SmithError, VerificationError

SHOWN = 300


class RegistryError(SmithError):
    """The registry refused, failed, or sent what it must not."""


class NotFound(RegistryError):
    """The repository, tag, manifest or blob is not there."""


class Denied(RegistryError):
    """The credentials are missing or not enough."""


class Broken(RegistryError):
    """The connection failed; the same again may succeed."""


class Mismatch(RegistryError, VerificationError):
    """Content that is not what its digest or size says."""

    code = VerificationError.code


def explained(body: bytes) -> str:
    """The codes and messages of an error body (distribution specification, Error Codes), else its first words."""
    try:
        errors = json.loads(body)["errors"]
        parts = [f"{error.get('code', 'UNKNOWN')}: {error.get('message') or ''}".rstrip(": ") for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        parts = [body.decode("utf-8", "replace").strip()]
    text = "; ".join(part for part in parts if part)
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def refused(method: str, where: str, status: int, body: bytes, secrets: Sequence[str] = ()) -> RegistryError:
    """The error for an answer that is not the one hoped for. `where` is an address without secrets."""
    text = explained(body)
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    sentence = f"{method} {where}: the registry answered {status}" + (f" ({text})" if text else "")
    if status == 404:
        return NotFound(sentence)
    if status in (401, 403):
        return Denied(f"{sentence}: log in with docker login, or put user:password@ into the address")
    return RegistryError(sentence)
