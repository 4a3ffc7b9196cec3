"""An etc/ld.so.cache for libraries that a loader would not find by itself, in glibc's format 1.1 (dl-cache.h).

Written only when something is found through ld.so.conf alone. Sorted as the loader's binary search wants it.
"""

import functools
import struct
from collections.abc import Iterable

FLAGS = {(62, 64): 0x0303, (3, 32): 0x0003, (183, 64): 0x0A03, (22, 64): 0x0403, (21, 64): 0x0503}
"""FLAG_ELF_LIBC6 and the ABI's own flag, by (e_machine, bits)."""
MAGIC = b"glibc-ld.so.cache1.1"
HEADER = struct.Struct("<20sIIB3xI12x")
ENTRY = struct.Struct("<iIIIQ")
LITTLE = 2


def compare(one: str, two: str) -> int:
    """glibc's order of names: runs of digits by their number, a letter after a digit, else by bytes."""
    a, b = one.encode(errors="surrogateescape"), two.encode(errors="surrogateescape")
    i = j = 0
    while i < len(a):
        if a[i : i + 1].isdigit():
            if not b[j : j + 1].isdigit():
                return 1
            m, n = i, j
            while a[m : m + 1].isdigit():
                m += 1
            while b[n : n + 1].isdigit():
                n += 1
            if int(a[i:m]) != int(b[j:n]):
                return int(a[i:m]) - int(b[j:n])
            i, j = m, n
        elif b[j : j + 1].isdigit():
            return -1
        else:
            other = b[j] if j < len(b) else 0
            if a[i] != other:
                return a[i] - other
            i, j = i + 1, j + 1
    return -1 if j < len(b) else 0


def _loader_order(one: tuple[tuple[str, int], str], two: tuple[tuple[str, int], str]) -> int:
    """Names from last to first, as the loader's search goes."""
    return compare(two[0][0], one[0][0]) or two[0][1] - one[0][1]


def write(libraries: Iterable[tuple[str, str, int, int]]) -> bytes:
    """The file for (name, path, e_machine, bits) entries; the first path of a name and kind wins. Little endian."""
    entries: dict[tuple[str, int], str] = {}
    for name, path, machine, bits in libraries:
        flags = FLAGS.get((machine, bits))
        if flags is not None:
            entries.setdefault((name, flags), path)
    ordered = sorted(entries.items(), key=functools.cmp_to_key(_loader_order))
    offset = HEADER.size + ENTRY.size * len(ordered)
    table, strings = bytearray(), bytearray()
    for (name, flags), path in ordered:
        key = offset + len(strings)
        strings += name.encode(errors="surrogateescape") + b"\0"
        value = offset + len(strings)
        strings += path.encode(errors="surrogateescape") + b"\0"
        table += ENTRY.pack(flags, key, value, 0, 0)
    return HEADER.pack(MAGIC, len(ordered), len(strings), LITTLE, 0) + bytes(table) + bytes(strings)
