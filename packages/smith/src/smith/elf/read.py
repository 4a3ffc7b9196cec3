"""What a loader wants of an ELF file, from its program headers alone: sections may be stripped.

Read by struct, an array in one read (elf(5)): a build looks at thousands of them.
"""

import json
import struct
from dataclasses import dataclass
from typing import Final

from smith.content import Content
from smith.errors import InputError

MAGIC: Final = b"\x7fELF"
HEAD: Final = 4096
MAX_SEGMENTS: Final = 4096
MAX_DYNAMIC: Final = 1 << 20
MAX_NOTES: Final = 1 << 20
MAX_STRING: Final = 4096
NODEFLIB: Final = 0x800
FDO_DLOPEN: Final = 0x407C0C0A
GNU_BUILD_ID: Final = 3

PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
PT_INTERP: Final = 3
PT_NOTE: Final = 4

DT_NEEDED: Final = 1
DT_STRTAB: Final = 5
DT_STRSZ: Final = 10
DT_SONAME: Final = 14
DT_RPATH: Final = 15
DT_RUNPATH: Final = 29
DT_FLAGS_1: Final = 0x6FFFFFFB
DT_AUXILIARY: Final = 0x7FFFFFFD
DT_FILTER: Final = 0x7FFFFFFF

# e_type, e_machine, e_phoff, e_phentsize, e_phnum
_HEADER: Final = {32: "16xHH8xI10xHH", 64: "16xHH12xQ14xHH"}


@dataclass(frozen=True, slots=True)
class Dlopen:
    """One entry of an FDO .note.dlopen: any of `sonames` serves; `priority` is required, recommended, suggested."""

    sonames: tuple[str, ...]
    feature: str = ""
    priority: str = "recommended"


@dataclass(frozen=True, slots=True)
class Elf:
    """One ELF file. `bits` is 32 or 64, `machine` the e_machine number, `kind` the e_type (2 EXEC, 3 DYN).

    `rpath` and `runpath` are unexpanded texts; both None when absent. `dynamic` is False for static programs.
    """

    bits: int
    machine: int
    kind: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: str | None = None
    runpath: str | None = None
    nodeflib: bool = False
    dynamic: bool = False
    build_id: str = ""
    dlopen: tuple[Dlopen, ...] = ()
    filters: tuple[str, ...] = ()


def is_elf(content: Content) -> bool:
    """By the first four bytes."""
    return content.size >= 52 and content.read_at(0, 4) == MAGIC


def read(content: Content, what: str) -> Elf:
    """Read an ELF file. InputError, naming `what`, when it is cut, garbled or absurd."""
    try:
        return _Reader(content, what).read()
    except (struct.error, IndexError) as error:
        raise InputError(f"{what} is a broken ELF file: {error}") from None


class _Reader:
    def __init__(self, content: Content, what: str) -> None:
        self.content = content
        self.what = what
        self.head = content.read_at(0, HEAD)
        self.loads: list[tuple[int, int, int]] = []

    def bad(self, text: str) -> InputError:
        return InputError(f"{self.what} is a broken ELF file: {text}")

    def at(self, offset: int, length: int) -> bytes:
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        data = self.content.read_at(offset, length) if offset < self.content.size else b""
        if len(data) < length:
            raise self.bad(f"it is cut off: {length} bytes at {offset} are wanted of {self.content.size}")
        return data

    def read(self) -> Elf:
        head = self.head
        if len(head) < 52 or head[:4] != MAGIC:
            raise self.bad("it has no ELF header")
        if head[4] not in (1, 2) or head[5] not in (1, 2):
            raise self.bad("its class or byte order is unknown")
        bits, little = 32 * head[4], head[5] == 1
        order = "<" if little else ">"
        kind, machine, table, entry, count = struct.unpack_from(order + _HEADER[bits], head)
        segments = self.segments(table, entry, count, order, bits)
        self.loads = [(vaddr, vaddr + size, offset) for type_, offset, vaddr, size in segments if type_ == PT_LOAD]
        interpreter, build_id = "", ""
        dynamic: dict[int, list[int]] | None = None
        dlopen: list[Dlopen] = []
        for type_, offset, _, size in segments:
            if type_ == PT_INTERP:
                interpreter = self.text(self.at(offset, min(size, MAX_STRING)))
            elif type_ == PT_DYNAMIC and size:
                dynamic = self.dynamic(offset, size, order, bits)
            elif type_ == PT_NOTE and 0 < size <= MAX_NOTES:
                found_id, found = self.notes(self.at(offset, size), order)
                build_id = build_id or found_id
                dlopen += found
        if dynamic is None:
            return Elf(bits, machine, kind, interpreter, build_id=build_id, dlopen=tuple(dlopen))
        strings = self.strings(dynamic)

        def named(tag: int) -> tuple[str, ...]:
            return tuple(self.string(strings, where) for where in dynamic.get(tag, ()))

        return Elf(
            bits,
            machine,
            kind,
            interpreter,
            needed=named(DT_NEEDED),
            soname=next(iter(named(DT_SONAME)), ""),
            rpath=next(iter(named(DT_RPATH)), None),
            runpath=next(iter(named(DT_RUNPATH)), None),
            nodeflib=bool(next(iter(dynamic.get(DT_FLAGS_1, ())), 0) & NODEFLIB),
            dynamic=True,
            build_id=build_id,
            dlopen=tuple(dlopen),
            filters=named(DT_AUXILIARY) + named(DT_FILTER),
        )

    def segments(self, where: int, size: int, count: int, order: str, bits: int) -> list[tuple[int, int, int, int]]:
        if count == 0:
            return []
        if size != (56 if bits == 64 else 32) or count > MAX_SEGMENTS:
            raise self.bad(f"{count} program headers of {size} bytes")
        table = self.at(where, count * size)
        if bits == 64:
            return [(p[0], p[2], p[3], p[5]) for p in struct.iter_unpack(order + "IIQQQQQQ", table)]
        return [(p[0], p[1], p[2], p[4]) for p in struct.iter_unpack(order + "IIIIIIII", table)]

    def dynamic(self, offset: int, size: int, order: str, bits: int) -> dict[int, list[int]]:
        entry = 16 if bits == 64 else 8
        if size > MAX_DYNAMIC:
            raise self.bad(f"a dynamic section of {size} bytes")
        table = self.at(offset, size - size % entry)
        found: dict[int, list[int]] = {}
        for tag, value in struct.iter_unpack(order + ("qQ" if bits == 64 else "iI"), table):
            if tag == 0:
                break
            found.setdefault(tag, []).append(value)
        return found

    def strings(self, dynamic: dict[int, list[int]]) -> tuple[int, int]:
        where = dynamic.get(DT_STRTAB)
        size = dynamic.get(DT_STRSZ, [0])[0]
        if not where:
            return 0, 0
        for start, end, offset in self.loads:
            if start <= where[0] < end:
                return where[0] - start + offset, size
        raise self.bad("its dynamic strings lie in no segment")

    def string(self, table: tuple[int, int], where: int) -> str:
        start, size = table
        if where >= size:
            raise self.bad(f"a name at {where} of {size} bytes of names")
        room = min(MAX_STRING, size - where, max(0, self.content.size - start - where))
        return self.text(self.at(start + where, room))

    def text(self, raw: bytes) -> str:
        return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def notes(self, data: bytes, order: str) -> tuple[str, list[Dlopen]]:
        build_id, found = "", []
        position = 0
        while position + 12 <= len(data):
            name_size, size, type_ = struct.unpack_from(order + "III", data, position)
            name = data[position + 12 : position + 12 + name_size]
            start = position + 12 + (name_size + 3 & ~3)
            body = data[start : start + size]
            if len(body) < size:
                break
            if type_ == GNU_BUILD_ID and name == b"GNU\0":
                build_id = body.hex()
            elif type_ == FDO_DLOPEN and name == b"FDO\0":
                found += _dlopen(body)
            position = start + (size + 3 & ~3)
        return build_id, found


def _dlopen(body: bytes) -> list[Dlopen]:
    try:
        entries = json.loads(body.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return []
    found = []
    for entry in entries if isinstance(entries, list) else ():
        names = entry.get("soname") if isinstance(entry, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            found.append(Dlopen(tuple(names), str(entry.get("feature", "")), str(entry.get("priority", "recommended"))))
    return found
