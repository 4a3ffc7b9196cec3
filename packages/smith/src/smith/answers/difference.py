"""`smith diff`: two images in terms of packages, files, and what in them differs."""

import io
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from smith.answers import Known
from smith.content import Content
from smith.elf import is_elf
from smith.tree import Node

MAX_COMPARED = 256 << 20


def difference(one: Known, two: Known) -> dict[str, Any]:
    """What changes from `one` to `two`; all lists empty and `same` true for equal images."""
    old = {package.name: package.version for package in one.packages}
    new = {package.name: package.version for package in two.packages}
    paths_old, paths_new = dict(one.tree.items()), dict(two.tree.items())
    files = []
    for path in sorted(paths_old.keys() & paths_new.keys()):
        changes = node_changes(paths_old[path], paths_new[path])
        if changes:
            files.append({"path": path, "package": two.owner(path), "changes": changes})
    config = config_changes(one.image.config, two.image.config)
    result: dict[str, Any] = {
        "digests": [one.image.digest, two.image.digest],
        "packages": {
            "added": {name: new[name] for name in sorted(new.keys() - old.keys())},
            "removed": {name: old[name] for name in sorted(old.keys() - new.keys())},
            "changed": {n: [old[n], new[n]] for n in sorted(old.keys() & new.keys()) if old[n] != new[n]},
        },
        "files": {
            "added": sorted(paths_new.keys() - paths_old.keys()),
            "removed": sorted(paths_old.keys() - paths_new.keys()),
            "changed": files,
        },
        "config": config,
    }
    result["same"] = one.image.config_bytes == two.image.config_bytes and not any(
        (result["files"]["added"], result["files"]["removed"], files, config)
    )
    return result


def node_changes(old: Node, new: Node) -> list[str]:
    """Sentences about what differs between two nodes; empty when nothing does."""
    if old.kind != new.kind:
        return [f"was a {old.kind}, is a {new.kind}"]
    changes = []
    if old.mode != new.mode:
        changes.append(f"mode {old.mode:04o} -> {new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        changes.append(f"owner {old.uid}:{old.gid} -> {new.uid}:{new.gid}")
    if old.mtime != new.mtime:
        changes.append(f"time {old.mtime} -> {new.mtime}")
    if old.target != new.target:
        changes.append(f"target {old.target} -> {new.target}")
    if old.content is not None and new.content is not None:
        if old.size != new.size:
            changes.append(f"size {old.size} -> {new.size}")
        if old.size != new.size or old.content.sha256 != new.content.sha256:
            changes.append(_content_change(old.content, new.content))
    return changes


def _content_change(old: Content, new: Content) -> str:
    if is_elf(old) and is_elf(new) and max(old.size, new.size) <= MAX_COMPARED:
        sections = elf_sections(old), elf_sections(new)
        every = sections[0].keys() | sections[1].keys()
        names = sorted(name for name in every if sections[0].get(name) != sections[1].get(name))
        return f"ELF sections {', '.join(names)}" if names else "ELF headers"
    return "content"


def elf_sections(content: Content) -> dict[str, int]:
    """Section name -> a hash of its bytes; empty for files without sections or with broken ones."""
    try:
        elf = ELFFile(io.BytesIO(content.read_at(0, content.size)))
        return {section.name: hash(section.data()) for section in elf.iter_sections() if section.name}
    except (ELFError, ValueError, KeyError, AttributeError, TypeError, IndexError, UnicodeDecodeError):
        return {}


def config_changes(old: Any, new: Any, where: str = "") -> list[dict[str, Any]]:
    """The values that differ between two config documents, by dotted names; layers apart."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            if not where and key in ("rootfs", "history"):
                continue
            found += config_changes(old.get(key), new.get(key), f"{where}.{key}" if where else key)
        return found
    return [] if old == new else [{"name": where, "old": old, "new": new}]
