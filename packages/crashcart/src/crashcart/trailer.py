"""What an image says of itself: a trailer behind its filesystem, which no kernel minds and nobody needs root to read.

::

    filesystem, padded with zeros to 4096 bytes
    JSON document, padded with newlines to 4096 bytes
    last 64 bytes of the padding:  magic (16)  version (8)  filesystem's length (8)  its SHA-256 (32)

The document: ``{"crashcart": 1, "architecture", "format", "packages": [{"name", "version", "licence", ...}]}``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct

from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"crashcart-image\0"
VERSION = 1
_END = struct.Struct("<16sQQ32s")
_BLOCK = 4096
_LARGEST = 16 << 20


def append(path: str, document: dict[str, Any]) -> None:
    """Complete the filesystem image at ``path``."""
    size = os.stat(path).st_size
    with open(path, "r+b") as file:
        file.seek(size)
        size += file.write(b"\0" * (-size % _BLOCK))
        digest = _digest(path, size, file)
        text = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        room = -(len(text) + _END.size) % _BLOCK
        file.write(text + b"\n" * room + _END.pack(MAGIC, VERSION, size, digest))


def _digest(path: str, size: int, file: Any) -> bytes:
    file.flush()
    found = hashlib.sha256()
    left = size
    with open(path, "rb") as source:
        while left:
            data = source.read(min(left, 1 << 20))
            if not data:
                raise CrashcartError(f"{path} is shorter than the {size} bytes it speaks of")
            found.update(data)
            left -= len(data)
    return found.digest()


def read(path: str) -> dict[str, Any]:
    """The document of an image, its filesystem checked. CrashcartError for any image that is not whole."""
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length < _BLOCK:
                raise CrashcartError(f"{path} is no crashcart image: {length} bytes are too few")
            file.seek(length - _END.size)
            magic, version, size, digest = _END.unpack(file.read(_END.size))
            if magic != MAGIC:
                raise CrashcartError(
                    f"{path} does not describe itself: `crashcart build` did not make it, or it is cut off"
                )
            if version != VERSION:
                raise CrashcartError(f"{path} has image version {version}; this crashcart knows version {VERSION}")
            if not size <= length - _BLOCK or length - size > _LARGEST:
                raise CrashcartError(f"{path} is damaged: its filesystem cannot have {size} of {length} bytes")
            if _digest(path, size, file) != digest:
                raise CrashcartError(f"{path} is damaged: its filesystem has another SHA-256 than it was made with")
            file.seek(size)
            document = json.loads(file.read(length - size - _END.size))
    except OSError as error:
        raise CrashcartError(f"cannot read image {path}: {error.strerror}") from error
    except ValueError as error:
        raise CrashcartError(f"{path} is damaged: its description is no JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("packages"), list):
        raise CrashcartError(f"{path} is damaged: its description has no list of packages")
    return document
