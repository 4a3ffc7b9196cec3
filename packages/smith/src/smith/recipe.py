"""What an image says about itself: the packages kept, their licences, why each file is in, the spec it came from."""

from dataclasses import fields, is_dataclass
from typing import Any

from ocicommon.canonical import dumps

from smith import applications, installed, nativedb, sbom
from smith import tree as t
from smith.selection import Reason, Selection
from smith.sources import Input, Package, SourceResult
from smith.spec import Spec

SPEC_TYPE = "application/vnd.smith.spec+json"
PACKAGES_TYPE = "application/vnd.smith.packages"
REASONS_TYPE = "application/vnd.smith.reasons+json"
INPUTS_TYPE = "application/vnd.smith.inputs+json"
PART = 1000
"""Entries that are written as JSON at once."""
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
MARKS = (
    "etc/debian_version",
    "etc/lsb-release",
    "etc/alpine-release",
    "etc/redhat-release",
    "etc/system-release",
    "etc/fedora-release",
)
"""What scanners tell the distribution by, beside os-release."""


def kept_packages(selection: Selection, source: SourceResult) -> list[Package]:
    """The packages that at least one chosen file is of, sorted by name, with those of their files that are kept."""
    kept = []
    for package in source.packages:
        if any(path in selection.chosen and owned(selection, path) for path in package.files):
            kept.append(package)
    return sorted(kept, key=lambda package: (package.name, package.arch))


def owned(selection: Selection, path: str) -> bool:
    """Whether listing this chosen path makes a package its owner: folders are everyone's, and links to them too."""
    node = selection.tree[path]
    if not node.is_link:
        return not node.is_dir
    end = selection.tree.walk(path).node
    return end is None or not end.is_dir


def keep(selection: Selection, source: SourceResult) -> list[Package]:
    """Take os-release and, for every package that gave a file, its licence; write the pruned package database.

    Gives the packages kept. `selection` changes.
    """
    kept = kept_packages(selection, source)
    for package in kept:
        for path in licence_files(selection, package):
            selection.take(path, Reason("licence", "", package.name), recursive=False)
    for path in (*OS_RELEASE, *MARKS):
        if selection.tree.resolve(path) is not None:
            selection.take(path, Reason("os-release"))
    nodes = {path: selection.tree[path] for path in selection.chosen}
    for path, data in nativedb.database(kept, nodes).items():
        where = selection.tree.add(path, t.made(data))
        selection.chosen[where] = Reason("database")
    return kept


def licence_files(selection: Selection, package: Package) -> list[str]:
    """The copyright and licence files of a package that the tree has."""
    found = []
    for path in package.files:
        name = path.rpartition("/")[2].lower()
        in_doc = path.startswith(("usr/share/doc/", "usr/share/licenses/"))
        if in_doc and name.startswith(("copyright", "licen", "copying")) and selection.tree.resolve(path) is not None:
            found.append(path)
    plain = f"usr/share/doc/{package.name}/copyright"
    if plain not in found and selection.tree.resolve(plain) is not None:
        found.append(plain)
    return found


def documents(
    spec: Spec, source: SourceResult, selection: Selection, kept: list[Package], digest: str, created: int = 0
) -> dict[str, bytes]:
    """Media type -> bytes of what the artifact manifest beside the image carries.

    `digest` is the image manifest's, `created` the seconds since the epoch that bills of materials say.
    """
    lines = "".join(f"{package.name} {package.version} {package.arch}\n" for package in kept)
    inputs = [
        {"kind": each.kind, "sha256": each.sha256, "size": each.size, "url": _anywhere(each)}
        for each in sorted(source.inputs, key=lambda each: (each.kind, each.url, each.sha256))
    ]
    name = spec.preset or spec.package.rpartition("/")[2] or next(iter(spec.packages), "rootfs")
    subject = sbom.Subject(name, digest, source.platform, created)
    system = sbom.distribution(_os_release(selection))
    return {
        sbom.CYCLONEDX: sbom.cyclonedx(subject, kept, system),
        sbom.SPDX: sbom.spdx(subject, kept, system),
        SPEC_TYPE: dumps(normalized(spec)),
        PACKAGES_TYPE: lines.encode(),
        REASONS_TYPE: reasons(selection, kept),
        INPUTS_TYPE: dumps(inputs),
    }


def _anywhere(read: Input) -> str:
    """The address of an input, without the folders of this machine."""
    local = read.kind in applications.KINDS and read.url.startswith("file:")
    return read.url.rpartition("/")[2] if local else read.url


def _os_release(selection: Selection) -> str:
    for path in OS_RELEASE:
        data = installed.read(selection.tree, path)
        if data:
            return data.decode("utf-8", "replace")
    return ""


def normalized(spec: Spec) -> dict[str, Any]:
    """The spec as it was understood, silent keys left out; nothing of this machine (no folder names) is in it."""
    result = {}
    for each in fields(Spec):
        if each.name in ("directory", "file", "overlays", "insecure", "fast", "locked", "places"):
            continue
        value = _plain(getattr(spec, each.name))
        if value not in (None, "", [], {}, False):
            result[each.name] = value
    return result


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value) if each.name not in ("line", "column", "file")]
        return {
            name: plain for name in names if (plain := _plain(getattr(value, name))) not in (None, "", [], {}, False)
        }
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if hasattr(value, "items"):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


def reasons(selection: Selection, kept: list[Package]) -> bytes:
    """Path -> why it is in and of which package, as JSON: written in parts, since there may be 100,000 paths."""
    owners: dict[str, str] = {}
    for package in kept:
        for path in package.files:
            if path in selection.chosen and owned(selection, path):
                owners.setdefault(path, package.name)
    paths = sorted(selection.chosen, key=_text)
    written = bytearray(b"{")
    for start in range(0, len(paths), PART):
        part: dict[str, dict[str, str]] = {}
        for path in paths[start : start + PART]:
            reason = selection.chosen[path]
            entry = {"kind": reason.kind, "via": reason.via, "detail": reason.detail, "package": owners.get(path, "")}
            part[_text(path)] = {key: _text(value) for key, value in entry.items() if value}
        written += dumps(part)[1:-1] + b","
    written[-1:] = b"}" if paths else b"{}"
    return bytes(written)


def _text(value: str) -> str:
    """File names that are no UTF-8 in a form that JSON can hold."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
