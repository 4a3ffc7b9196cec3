"""A small rpm database for an image: sqlite, as rpm 4.16 and newer keep it, cut down to the kept files."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence

from smith.sources import Package
from smith.sources.rpm import header as h
from smith.tree import Node

PATH = "usr/lib/sysimage/rpm/rpmdb.sqlite"
_INDEXES = {
    "Name": h.NAME, "Basenames": h.BASENAMES, "Group": h.GROUP, "Requirename": h.REQUIRENAME,
    "Providename": h.PROVIDENAME, "Conflictname": 0,
    "Obsoletename": 0, "Triggername": 0, "Dirnames": h.DIRNAMES, "Installtid": 0, "Sigmd5": 0,
    "Sha1header": 0, "Filetriggername": 0, "Transfiletriggername": 0, "Recommendname": 0, "Suggestname": 0,
    "Supplementname": 0, "Enhancename": 0,
}  # fmt: skip
_TEXTS = (h.NAME, h.VERSION, h.RELEASE, h.VENDOR, h.LICENSE, h.URL, h.OS, h.ARCH, h.SOURCERPM, h.MODULARITYLABEL)
_I18N = (h.SUMMARY, h.DESCRIPTION, h.GROUP)
_LISTS = (
    (h.PROVIDENAME, h.STRING_ARRAY), (h.PROVIDEFLAGS, h.INT32), (h.PROVIDEVERSION, h.STRING_ARRAY),
    (h.REQUIRENAME, h.STRING_ARRAY), (h.REQUIREFLAGS, h.INT32), (h.REQUIREVERSION, h.STRING_ARRAY),
)  # fmt: skip
_FILE_COLUMNS = (
    (h.FILEMODES, h.INT16), (h.FILESIZES, h.INT32), (h.FILERDEVS, h.INT16), (h.FILEDIGESTS, h.STRING_ARRAY),
    (h.FILELINKTOS, h.STRING_ARRAY), (h.FILEFLAGS, h.INT32), (h.FILEUSERNAME, h.STRING_ARRAY),
    (h.FILEGROUPNAME, h.STRING_ARRAY), (h.FILEVERIFYFLAGS, h.INT32), (h.FILEDEVICES, h.INT32), (h.FILEINODES, h.INT32),
    (h.FILELANGS, h.STRING_ARRAY),
)  # fmt: skip
_SQLITE_VERSION = 3040001


def pruned(blob: bytes, kept: Mapping[str, Node], owned: Sequence[str]) -> bytes:
    """A package's header with the files of `kept` alone, and no time of installing.

    `owned` are the real paths of its files in the tree, which merged directories make differ from the header's.
    """
    header = h.parse(blob, "rpm header")
    values: list[tuple[int, int, h.Value]] = [(tag, h.STRING, header.text(tag)) for tag in _TEXTS if tag in header]
    values += [(tag, h.I18N, header.texts(tag)[:1]) for tag in _I18N if tag in header]
    values += [(tag, h.INT32, header.numbers(tag)) for tag in (h.EPOCH, h.FILEDIGESTALGO) if tag in header]
    values.append((h.INSTALLTIME, h.INT32, [0]))
    for tag, kind in _LISTS:
        if tag in header:
            values.append((tag, kind, header.texts(tag) if kind == h.STRING_ARRAY else header.numbers(tag)))
    folders, indexes = header.texts(h.DIRNAMES), header.numbers(h.DIRINDEXES)
    names = header.texts(h.BASENAMES)
    mine = set(owned)
    numbers = [n for n, name in enumerate(names) if _is_kept(folders[indexes[n]] + name, kept, mine)]
    total = 0
    if numbers:
        used = sorted({folders[indexes[n]] for n in numbers})
        values.append((h.DIRNAMES, h.STRING_ARRAY, used))
        values.append((h.BASENAMES, h.STRING_ARRAY, [names[n] for n in numbers]))
        values.append((h.DIRINDEXES, h.INT32, [used.index(folders[indexes[n]]) for n in numbers]))
        for tag, kind in _FILE_COLUMNS:
            column: Sequence[str] | Sequence[int]
            column = header.texts(tag) if kind == h.STRING_ARRAY else header.numbers(tag)
            if len(column) == len(names):
                values.append((tag, kind, [column[n] for n in numbers]))  # type: ignore[arg-type]
        sizes = header.numbers(h.LONGFILESIZES) or header.numbers(h.FILESIZES)
        total = sum(sizes[n] for n in numbers)
    values.append((h.SIZE, h.INT32, [min(total, 0xFFFFFFFF)]))
    return h.build(values)


def _is_kept(path: str, kept: Mapping[str, Node], mine: set[str]) -> bool:
    plain = path.lstrip("/")
    return any(name in mine and name in kept for name in (plain, f"usr/{plain}"))


def write(packages: Sequence[Package], kept: Mapping[str, Node]) -> dict[str, bytes]:
    """The database of these packages (whose metadata are header blobs), sorted by name."""
    blobs = [pruned(package.metadata, kept, package.files) for package in packages]
    with tempfile.TemporaryDirectory(prefix="smith-rpmdb-") as folder:
        path = os.path.join(folder, "rpmdb.sqlite")
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            _fill(connection, blobs)
        finally:
            connection.close()
        with open(path, "rb") as stream:
            data = bytearray(stream.read())
    # The file's change counter, the counter that its size is valid for, and the version of the library that wrote it.
    data[24:28] = data[92:96] = (1).to_bytes(4, "big")
    data[96:100] = _SQLITE_VERSION.to_bytes(4, "big")
    return {PATH: bytes(data)}


def _fill(connection: sqlite3.Connection, blobs: Sequence[bytes]) -> None:
    connection.execute("PRAGMA page_size = 4096")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    for table in _INDEXES:
        connection.execute(
            f"CREATE TABLE '{table}' (key {'BLOB' if table in ('Installtid', 'Sigmd5') else 'TEXT'} NOT NULL, "
            "hnum INTEGER NOT NULL, idx INTEGER NOT NULL, FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))"
        )
    for number, blob in enumerate(blobs, 1):
        connection.execute("INSERT INTO 'Packages' VALUES (?, ?)", (number, blob))
        header = h.parse(blob, "rpm header")
        for table, tag in _INDEXES.items():
            rows = [(key, number, idx) for idx, key in enumerate(header.texts(tag))] if tag else []
            connection.executemany(f"INSERT INTO '{table}' VALUES (?, ?, ?)", rows)
    for table in _INDEXES:
        connection.execute(f"CREATE INDEX '{table}_key_idx' ON '{table}'(key ASC)")
        connection.execute(f"CREATE INDEX '{table}_hnum_idx' ON '{table}'(hnum ASC)")
    connection.execute("COMMIT")
