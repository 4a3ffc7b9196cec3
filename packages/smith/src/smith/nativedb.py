"""The package database that an image carries: its own family's form, cut down to the files that were kept.

Scanners read exactly these files, so what they find is what is there. Same packages and files give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Iterable, Mapping, Sequence

from smith.content import Content
from smith.sources import Package
from smith.tree import Node

DPKG = "var/lib/dpkg/status.d"
APK = "lib/apk/db/installed"


def database(packages: Iterable[Package], kept: Mapping[str, Node]) -> dict[str, bytes]:
    """Path -> bytes of the database files for `packages`, which own those of `kept` (tree path -> node) they list.

    One file for each family that is among the packages; nothing for an empty family.
    """
    by_family: dict[str, list[Package]] = {}
    for package in sorted(packages, key=lambda p: (p.name, p.arch)):
        if package.metadata:
            by_family.setdefault(package.family, []).append(package)
    found: dict[str, bytes] = {}
    if "deb" in by_family:
        found |= dpkg(by_family["deb"], kept)
    if "apk" in by_family:
        found[APK] = apk(by_family["apk"], kept)
    if "rpm" in by_family:
        module = importlib.import_module("smith.sources.rpm.database")
        found |= module.write(by_family["rpm"], kept)
    return found


def dpkg(packages: Sequence[Package], kept: Mapping[str, Node]) -> dict[str, bytes]:
    """dpkg's fields, one package a file, as images without dpkg have it: status.d/NAME and status.d/NAME.md5sums."""
    found = {}
    for package in packages:
        text = package.metadata.decode("utf-8", "surrogateescape").strip("\n")
        lines = list(_conffiles(text.split("\n"), kept))
        found[f"{DPKG}/{package.name}"] = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
        sums = []
        for path in sorted(set(package.files)):
            node = kept.get(path)
            if node is not None and node.content is not None:
                sums.append(f"{node.md5 or digest(node.content, 'md5').hex()}  {path}\n")
        if sums:
            found[f"{DPKG}/{package.name}.md5sums"] = "".join(sums).encode("utf-8", "surrogateescape")
    return found


def _conffiles(lines: Iterable[str], kept: Mapping[str, Node]) -> Iterable[str]:
    """The stanza with its Conffiles field cut down; the field goes when none of them is kept."""
    inside = False
    pending: list[str] = []
    for line in lines:
        if inside and line.startswith(" "):
            if line.split()[0].lstrip("/") in kept:
                yield from pending
                pending = []
                yield line
            continue
        inside = line.lower().startswith("conffiles:")
        if inside:
            pending = [line]
        else:
            yield line


def apk(packages: Sequence[Package], kept: Mapping[str, Node]) -> bytes:
    """apk's installed database: the package's own fields, then its folders and files with modes and checksums."""
    stanzas = []
    for package in packages:
        lines = [line for line in package.metadata.decode("utf-8", "surrogateescape").split("\n") if line]
        folder = None
        for path in sorted(set(package.files), key=lambda p: (p.rpartition("/")[0], p)):
            node = kept.get(path)
            if node is None or node.is_dir:
                continue
            parent, _, name = path.rpartition("/")
            if parent != folder:
                folder = parent
                lines.append(f"F:{parent}")
            lines.append(f"R:{name}")
            lines.append(f"a:0:0:{node.mode:o}")
            data = node.target.encode("utf-8", "surrogateescape") if node.is_link else None
            lines.append(f"Z:{q1(digest(node.content, 'sha1') if data is None else hashlib.sha1(data).digest())}")
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas).encode("utf-8", "surrogateescape") + b"\n"


def q1(sha1: bytes) -> str:
    """apk's way of writing a SHA-1: Q1 and base64 (apk-package(5))."""
    return "Q1" + base64.b64encode(sha1).decode()


def digest(content: Content | None, algorithm: str) -> bytes:
    """The digest of a content, read in pieces; of nothing for None."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    if content is not None:
        for chunk in content.chunks():
            found.update(chunk)
    return found.digest()
