"""Reading a .deb: an ar(5) archive of two tars, control and data (deb(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from smith.cache import CHUNK, Cache
from smith.content import BytesContent, Content, FileContent, RegionContent
from smith.errors import InputError
from smith.inflate import compression_of, expand
from smith.layers import region
from smith.sources.deb import control
from smith.sources.stored import copy, plain
from smith.tarindex import Member, data_of, members

_MAGIC = b"!<arch>\n"
_HEADER = 60
_CONTROL_LIMIT = 64 << 20


@dataclass(slots=True)
class Deb:
    """An opened package. `scripts` maps preinst, postinst, conffiles ... to their bytes, `data` is the plain tar."""

    control: control.Stanza
    scripts: dict[str, bytes]
    data: Content
    what: str
    conffiles: tuple[str, ...] = field(default=())

    def members(self) -> Iterator[Member]:
        """The payload's entries in order. InputError when the tar is damaged."""
        with self.data.open() as stream:
            yield from members(RegionContent(stream.fileno(), 0, self.data.size, stream), self.what)

    def content(self, member: Member) -> Content:
        return data_of(member, region(self.data, member.offset, member.stored))


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    offset: int
    size: int


def _parts(stream: BinaryIO, what: str) -> list[_Part]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise InputError(f"{what}: not a .deb file (no ar archive)")
    end = os.fstat(stream.fileno()).st_size
    found = []
    offset = len(_MAGIC)
    while offset < end:
        stream.seek(offset)
        header = stream.read(_HEADER)
        size = header[48:58].strip()
        if len(header) < _HEADER or header[58:] != b"`\n" or not size.isdigit():
            raise InputError(f"{what}: the .deb is damaged at byte {offset}")
        part = _Part(header[:16].strip().rstrip(b"/").decode("ascii", "replace"), offset + _HEADER, int(size))
        if part.offset + part.size > end:
            raise InputError(f"{what}: the .deb is cut short: {part.name} needs {part.size} bytes")
        found.append(part)
        offset = part.offset + part.size + part.size % 2
    return found


def _pick(parts: list[_Part], prefix: str, what: str) -> _Part:
    for part in parts:
        if part.name == prefix or part.name.startswith(prefix + "."):
            return part
    raise InputError(f"{what}: the .deb has no {prefix}")


def _chunks(stream: BinaryIO, part: _Part) -> Iterator[bytes]:
    stream.seek(part.offset)
    left = part.size
    while left:
        data = stream.read(min(CHUNK, left))
        if not data:
            return
        left -= len(data)
        yield data


def open_deb(cache: Cache, sha256: str, what: str) -> Deb:
    """Open a .deb that is in the cache. `what` names it in errors. InputError for a damaged one."""
    with cache.open(sha256) as stream:
        parts = _parts(stream, what)
        if parts[0].name != "debian-binary" or not b"".join(_chunks(stream, parts[0])).startswith(b"2."):
            raise InputError(f"{what}: not a .deb of format 2")
        scripts = _control_files(b"".join(_chunks(stream, _pick(parts, "control.tar", what))), what)
    if "control" not in scripts:
        raise InputError(f"{what}: the .deb has no control file")
    stanza = control.parse(scripts.pop("control").decode("utf-8", "replace"), f"{what}: control")
    return Deb(
        stanza,
        scripts,
        _data(cache, sha256, _pick(parts, "data.tar", what), what),
        what,
        tuple(scripts.get("conffiles", b"").decode("utf-8", "surrogateescape").split("\n")),
    )


def _control_files(data: bytes, what: str) -> dict[str, bytes]:
    content = BytesContent(plain(data, f"{what}: control.tar", _CONTROL_LIMIT))
    found = {}
    for member in members(content, f"{what}: control.tar"):
        if member.kind == "0":
            found[member.name.removeprefix("./")] = content.read_at(member.offset, member.stored)
    return found


def _data(cache: Cache, sha256: str, part: _Part, what: str) -> Content:
    """The data tar, inflated once into the cache."""
    with cache.open(sha256) as stream:
        stream.seek(part.offset)
        compression = compression_of(stream.read(6))

    def produce(sink: BinaryIO) -> None:
        with cache.open(sha256) as stream:
            copy(expand(_chunks(stream, part), compression, f"{what}: {part.name}"), sink, what)

    path: Path = cache.derive("deb-data-1", sha256, produce)
    return FileContent(path, origin=f"deb {sha256}")
