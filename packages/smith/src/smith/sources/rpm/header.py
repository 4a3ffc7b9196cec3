"""The header structure of rpm files and databases (rpm's format documents): tags and their values."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from smith.errors import InputError

LEAD = 96
MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_MOST_ENTRIES = 0xFFFF
_MOST_BYTES = 256 << 20

INT16, INT32, INT64, STRING, BINARY, STRING_ARRAY, I18N = 3, 4, 5, 6, 7, 8, 9
IMMUTABLE, SIGNATURES = 63, 62

NAME, VERSION, RELEASE, EPOCH, SUMMARY, DESCRIPTION = 1000, 1001, 1002, 1003, 1004, 1005
SIZE, VENDOR, LICENSE, GROUP, URL, OS, ARCH = 1009, 1011, 1014, 1016, 1020, 1021, 1022
PREIN, POSTIN = 1023, 1024
PREINPROG, POSTINPROG = 1085, 1086
FILESIZES, FILEMODES, FILERDEVS, FILEMTIMES, FILEDIGESTS, FILELINKTOS, FILEFLAGS = (
    1028,
    1030,
    1033,
    1034,
    1035,
    1036,
    1037,
)
FILEUSERNAME, FILEGROUPNAME, SOURCERPM, FILEVERIFYFLAGS = 1039, 1040, 1044, 1045
PROVIDENAME, REQUIREFLAGS, REQUIRENAME, REQUIREVERSION = 1047, 1048, 1049, 1050
FILEDEVICES, FILEINODES, FILELANGS, PROVIDEFLAGS, PROVIDEVERSION = 1095, 1096, 1097, 1112, 1113
DIRINDEXES, BASENAMES, DIRNAMES, PAYLOADFORMAT, PAYLOADCOMPRESSOR = 1116, 1117, 1118, 1124, 1125
MODULARITYLABEL = 5096
LONGFILESIZES, FILECAPS, FILEDIGESTALGO, PAYLOADDIGEST, PAYLOADDIGESTALGO = 5008, 5010, 5011, 5092, 5093
INSTALLTIME = 1008
SIG_DSA, SIG_RSA, SIG_PGP, SIG_GPG, SIG_OPENPGP = 267, 268, 1002, 1005, 278

GHOST, LICENCE_FILE = 1 << 6, 1 << 7


@dataclass(frozen=True, slots=True)
class Header:
    """One header. `blob` is its index and store, without the magic, as an rpm database keeps it."""

    entries: dict[int, tuple[int, int, int]]
    blob: bytes
    what: str

    @property
    def _store(self) -> int:
        return 8 + 16 * int.from_bytes(self.blob[:4], "big")

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def numbers(self, tag: int) -> list[int]:
        """Every integer of a tag; empty when it is absent. InputError when it is no integer."""
        if tag not in self.entries:
            return []
        kind, count, offset = self.entries[tag]
        width = {INT16: "H", INT32: "I", INT64: "Q"}.get(kind)
        if width is None:
            raise self._bad(tag)
        try:
            return list(struct.unpack_from(f">{count}{width}", self.blob, self._store + offset))
        except struct.error:
            raise self._bad(tag) from None

    def number(self, tag: int, default: int = 0) -> int:
        found = self.numbers(tag)
        return found[0] if found else default

    def texts(self, tag: int) -> list[str]:
        """Every string of a tag; empty when it is absent."""
        if tag not in self.entries:
            return []
        kind, count, offset = self.entries[tag]
        if kind not in (STRING, STRING_ARRAY, I18N):
            raise self._bad(tag)
        found = []
        position = self._store + offset
        for _ in range(count):
            end = self.blob.find(b"\0", position)
            if end < 0:
                raise self._bad(tag)
            found.append(self.blob[position:end].decode("utf-8", "surrogateescape"))
            position = end + 1
        return found

    def text(self, tag: int) -> str:
        found = self.texts(tag)
        return found[0] if found else ""

    def binary(self, tag: int) -> bytes:
        if tag not in self.entries:
            return b""
        _, count, offset = self.entries[tag]
        start = self._store + offset
        if start + count > len(self.blob):
            raise self._bad(tag)
        return self.blob[start : start + count]

    def _bad(self, tag: int) -> InputError:
        return InputError(f"{self.what}: the rpm header is damaged (tag {tag})")


def parse(blob: bytes, what: str) -> Header:
    """A header from index and store. InputError for absurd counts and entries that lie outside."""
    if len(blob) < 8:
        raise InputError(f"{what}: the rpm header is cut short")
    count, size = struct.unpack_from(">II", blob)
    if count > _MOST_ENTRIES or size > _MOST_BYTES or len(blob) < 8 + 16 * count + size:
        raise InputError(f"{what}: the rpm header is damaged ({count} entries, {size} bytes)")
    entries = {}
    for number in range(count):
        tag, kind, offset, items = struct.unpack_from(">IIiI", blob, 8 + 16 * number)
        if not 0 <= offset <= size or items > size + 1:
            raise InputError(f"{what}: the rpm header is damaged (tag {tag} lies outside)")
        entries[tag] = (kind, items, offset)
    return Header(entries, bytes(blob[: 8 + 16 * count + size]), what)


@dataclass(frozen=True, slots=True)
class RpmFile:
    """Where things are in an .rpm: `start` of the main header (with its magic), `payload` of the compressed payload."""

    signature: Header
    header: Header
    start: int
    payload: int


def read(stream: BinaryIO, what: str) -> RpmFile:
    """Both headers of an .rpm. InputError when it is none."""
    if stream.read(LEAD)[:4] != _LEAD_MAGIC:
        raise InputError(f"{what}: not an .rpm file")
    signature = _next(stream, what)
    length = len(signature.blob)
    stream.seek(-length % 8, 1)
    start = stream.tell()
    header = _next(stream, what)
    return RpmFile(signature, header, start, stream.tell())


def _next(stream: BinaryIO, what: str) -> Header:
    magic = stream.read(8)
    if magic[:4] != MAGIC[:4]:
        raise InputError(f"{what}: the .rpm is damaged (no header where one should be)")
    head = stream.read(8)
    if len(head) < 8:
        raise InputError(f"{what}: the .rpm is cut short")
    count, size = struct.unpack(">II", head)
    if count > _MOST_ENTRIES or size > _MOST_BYTES:
        raise InputError(f"{what}: the rpm header is damaged ({count} entries, {size} bytes)")
    return parse(head + stream.read(16 * count + size), what)


Value = str | Sequence[str] | Sequence[int] | bytes


def build(values: Sequence[tuple[int, int, Value]], region: int = IMMUTABLE) -> bytes:
    """Index and store of a header with these (tag, type, value) entries, sealed as one region."""
    index, store = b"", b""
    for tag, kind, value in sorted(values, key=lambda item: item[0]):
        data, count, align = _encode(kind, value)
        store += bytes(-len(store) % align)
        index += struct.pack(">IIiI", tag, kind, len(store), count)
        store += data
    seal = struct.pack(">IIiI", region, BINARY, len(store), 16)
    entries = len(index) // 16 + 1
    store += struct.pack(">IIiI", region, BINARY, -16 * entries, 16)
    return struct.pack(">II", entries, len(store)) + seal + index + store


def _encode(kind: int, value: Value) -> tuple[bytes, int, int]:
    if isinstance(value, bytes):
        return value, len(value), 1
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\0", 1, 1
    if kind in (STRING_ARRAY, I18N):
        return b"".join(str(v).encode("utf-8", "surrogateescape") + b"\0" for v in value), len(value), 1
    letter, width = {INT16: ("H", 2), INT32: ("I", 4), INT64: ("Q", 8)}[kind]
    return struct.pack(f">{len(value)}{letter}", *value), len(value), width
