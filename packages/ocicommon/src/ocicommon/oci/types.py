"""Strings of the specifications that a pattern alone describes badly."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator

from ocicommon.digest import check as check_digest

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _media_type(value: str) -> str:
    if not _MEDIA_TYPE.fullmatch(value):
        raise ValueError("expected a media type such as application/vnd.oci.image.manifest.v1+json")
    return value


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("expected a URL with a scheme")
    return value


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected base64: {error}") from None
    return value


def _timestamp(value: str) -> str:
    match = _TIMESTAMP.fullmatch(value)
    if not match or not 1 <= int(match[2]) <= 12 or not 1 <= int(match[3]) <= _DAYS[int(match[2]) - 1]:
        raise ValueError("expected a time such as 2015-10-31T22:22:56Z (RFC 3339)")
    return value


def _environment_entry(value: str) -> str:
    name, _, _ = value.partition("=")
    if not name or "\0" in value:
        raise ValueError("expected NAME=VALUE")
    return value


MediaType = Annotated[str, AfterValidator(_media_type)]
Digest = Annotated[str, AfterValidator(check_digest)]
URL = Annotated[str, AfterValidator(_url)]
Base64 = Annotated[str, AfterValidator(_base64)]
Timestamp = Annotated[str, AfterValidator(_timestamp)]
EnvironmentEntry = Annotated[str, AfterValidator(_environment_entry)]
