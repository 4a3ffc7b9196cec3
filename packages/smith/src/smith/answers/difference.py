"""`smith diff`: two images in terms of packages, files, and what in them differs."""

from typing import Any

from smith.answers import Known
from smith.answers.packing import packing
from smith.answers.within import explained
from smith.tree import Node

RECORDS = "var/lib/dpkg/status.d"
"""Where an image has a file for each package, which belongs to none."""


def difference(one: Known, two: Known) -> dict[str, Any]:
    """What changes from `one` to `two`; all lists empty and `same` true for equal images.

    `groups` has the same files again by the package that owns them, folders left out that hold something:
    {package, versions, sizes, added, removed, changed}.
    """
    old = {package.name: package.version for package in one.packages}
    new = {package.name: package.version for package in two.packages}
    paths_old, paths_new = dict(one.tree.items()), dict(two.tree.items())
    added, removed = sorted(paths_new.keys() - paths_old.keys()), sorted(paths_old.keys() - paths_new.keys())
    changed = []
    for path in sorted(paths_old.keys() & paths_new.keys()):
        changes = node_changes(paths_old[path], paths_new[path])
        if changes:
            changed.append({"path": path, "package": two.owner(path), "changes": changes})
    config = config_changes(one.image.config, two.image.config)
    layers = packing(one.image, two.image, same_files=not (added or removed or changed))
    result: dict[str, Any] = {
        "digests": [one.image.digest, two.image.digest],
        "sizes": [_size(one), _size(two)],
        "packages": {
            "added": {name: new[name] for name in sorted(new.keys() - old.keys())},
            "removed": {name: old[name] for name in sorted(old.keys() - new.keys())},
            "changed": {n: [old[n], new[n]] for n in sorted(old.keys() & new.keys()) if old[n] != new[n]},
        },
        "files": {"added": added, "removed": removed, "changed": changed},
        "config": config,
        "layers": layers,
    }
    result["groups"] = _groups(one, two, result["files"], (old, new))
    result["same"] = one.image.config_bytes == two.image.config_bytes and not any(
        (added, removed, changed, config, layers)
    )
    return result


def _size(known: Known) -> int:
    return sum(node.size for _, node in known.tree.items() if node.is_file)


def _groups(
    one: Known, two: Known, files: dict[str, Any], versions: tuple[dict[str, str], dict[str, str]]
) -> list[dict[str, Any]]:
    """The differing files by package: those of no package last."""
    groups: dict[str, dict[str, Any]] = {}

    def group(package: str) -> dict[str, Any]:
        fresh = {
            "package": package,
            "versions": [known.get(package, "") for known in versions],
            "sizes": [0, 0],
            "added": [],
            "removed": [],
            "changed": [],
        }
        return groups.setdefault(package, fresh)

    for package in versions[0].keys() | versions[1].keys():
        if versions[0].get(package) != versions[1].get(package):
            group(package)
    for name, known in (("added", two), ("removed", one)):
        for path in files[name]:
            if not known.tree.children(path):
                group(_owner(known, path))[name].append(path)
    for entry in files["changed"]:
        group(_owner(two, entry["path"]))["changed"].append(entry)
    for place, known in enumerate((one, two)):
        for path, node in known.tree.items():
            if node.is_file and (found := groups.get(_owner(known, path))) is not None:
                found["sizes"][place] += node.size
    return [groups[name] for name in sorted(groups, key=lambda name: (not name, name))]


def _owner(known: Known, path: str) -> str:
    """The package of a file; what the database says of a package is the package's, too."""
    folder, _, name = path.rpartition("/")
    name = name.removesuffix(".md5sums")
    if folder == RECORDS and any(package.name == name for package in known.packages):
        return name
    return known.owner(path)


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
    if old.device != new.device:
        changes.append(f"device {old.device[0]}:{old.device[1]} -> {new.device[0]}:{new.device[1]}")
    for name in sorted(old.xattrs.keys() | new.xattrs.keys()):
        if old.xattrs.get(name) != new.xattrs.get(name):
            how = "is new" if name not in old.xattrs else "is gone" if name not in new.xattrs else "has another value"
            changes.append(f"attribute {name} {how}")
    if old.content is not None and new.content is not None:
        if old.size != new.size:
            changes.append(f"size {old.size} -> {new.size}")
        if old.size != new.size or old.content.sha256 != new.content.sha256:
            changes += explained(old.content, new.content)
    return changes


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
