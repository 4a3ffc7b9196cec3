"""The packages of a root by its rpm database: sqlite, as rpm 4.16 and newer keep it (Fedora 33, RHEL 9, SUSE since)."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing

from smith.errors import InputError
from smith.sources import Package
from smith.sources.rpm import header as h
from smith.tree import Tree

FOLDERS = ("usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm")
_NOT_PACKAGES = ("gpg-pubkey",)


def packages(tree: Tree) -> Iterator[tuple[Package, list[str]]]:
    """Each package with the paths that it lists. InputError for a damaged database; an older form counts as none."""
    for folder in FOLDERS:
        node = tree.walk(f"{folder}/rpmdb.sqlite").node
        if node is not None and node.content is not None:
            with tempfile.NamedTemporaryFile(prefix="smith-rpmdb-") as copy:
                for chunk in node.content.chunks():
                    copy.write(chunk)
                copy.flush()
                yield from _read(copy.name, f"/{folder}/rpmdb.sqlite")
            return


def _read(path: str, what: str) -> Iterator[tuple[Package, list[str]]]:
    try:
        # immutable: nothing is written beside it, and a journal of the machine's own rpm does not matter to a copy
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            for number, blob in connection.execute("SELECT hnum, blob FROM Packages ORDER BY hnum"):
                header = h.parse(blob, f"{what}: package {number}")
                if header.text(h.NAME) not in _NOT_PACKAGES:
                    yield package_of(header)
    except sqlite3.Error as error:
        raise InputError(f"{what} cannot be read: {error}") from None


def package_of(header: h.Header) -> tuple[Package, list[str]]:
    """One header as a package, without files, and the paths that it lists but for ghosts."""
    epoch = header.number(h.EPOCH)
    version = f"{header.text(h.VERSION)}-{header.text(h.RELEASE)}"
    source = header.text(h.SOURCERPM).rpartition(".src.rpm")[0].rpartition(".nosrc.rpm")[0].rsplit("-", 2)
    folders, names = header.texts(h.DIRNAMES), header.texts(h.BASENAMES)
    indexes, flags = header.numbers(h.DIRINDEXES), header.numbers(h.FILEFLAGS)
    if len(indexes) != len(names) or any(index >= len(folders) for index in indexes):
        raise InputError(f"{header.what}: the rpm header is damaged (its file list)")
    listed = [
        folders[index] + name
        for number, (index, name) in enumerate(zip(indexes, names, strict=True))
        if number >= len(flags) or not flags[number] & h.GHOST
    ]
    found = Package(
        name=header.text(h.NAME),
        version=f"{epoch}:{version}" if epoch else version,
        arch=header.text(h.ARCH),
        family="rpm",
        source=source[0] if len(source) == 3 else header.text(h.NAME),
        source_version=f"{source[1]}-{source[2]}" if len(source) == 3 else version,
        licence=header.text(h.LICENSE),
        url=header.text(h.URL),
        metadata=header.blob,
    )
    return found, listed
