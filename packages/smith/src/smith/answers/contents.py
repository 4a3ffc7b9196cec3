"""`smith inspect` and `smith ls`: the files with their sizes and owners, and what they sum up to."""

from dataclasses import dataclass
from typing import Any

from smith import tree as t
from smith.answers import Known
from smith.tree import Node

LETTERS = {t.FILE: "-", t.DIRECTORY: "d", t.SYMLINK: "l", t.CHAR: "c", t.BLOCK: "b", t.FIFO: "p"}
OWN = "(smith)"


def overview(known: Known) -> dict[str, Any]:
    """The image as a document: digests, config, sizes by package, every file."""
    image = known.image
    files = [entry(known, path, node) for path, node in known.tree.sorted()]
    versions = {package.name: package for package in known.packages}
    sums: dict[str, dict[str, Any]] = {}
    for each in files:
        name = each["package"] or OWN
        package = versions.get(name)
        fresh = {"files": 0, "size": 0, "version": package.version if package else ""}
        row = sums.setdefault(name, fresh)
        if each["type"] == t.FILE:
            row["files"] += 1
            row["size"] += each["size"]
    return {
        "name": image.what,
        "tag": image.tag,
        "digest": image.digest,
        "platform": image.platform,
        "config": image.config.get("config") or {},
        "annotations": image.manifest.get("annotations") or {},
        "layers": [
            {"digest": layer.descriptor.get("digest", ""), "diffId": layer.diff_id, "size": layer.blob.size}
            for layer in image.layers
        ],
        "size": sum(each["size"] for each in files),
        "packages": dict(sorted(sums.items(), key=lambda item: (-item[1]["size"], item[0]))),
        "files": files,
    }


def entry(known: Known, path: str, node: Node) -> dict[str, Any]:
    """One file as a document."""
    return {
        "path": recipe_text(path),
        "type": node.kind,
        "mode": f"{node.mode:04o}",
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size if node.is_file else 0,
        "target": recipe_text(node.target),
        "package": known.owner(path),
    }


def recipe_text(value: str) -> str:
    """A name as JSON and terminals can show it."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a tree of sizes: the branches before it, its name, bytes, and how many files."""

    branches: str
    name: str
    size: int
    files: int


FEW = 3
SMALL = 0.01


def tree_sizes(known: Known, depth: int, *, every: bool = False) -> list[Row]:
    """The tree down to `depth`, big ones first. What is less than SMALL of the whole and not among the first FEW of its
    folder is one row, unless `every` is wished for.

    A folder that holds nothing but one other is one row with it, and counts as one level.
    """
    sums: dict[str, list[int]] = {}
    for path, node in known.tree.items():
        if not node.is_file:
            continue
        parts = path.split("/")
        for level in range(len(parts) + 1):
            row = sums.setdefault("/".join(parts[:level]), [0, 0])
            row[0] += node.size
            row[1] += 1

    def below(folder: str) -> list[str]:
        names = known.tree.children(folder)
        return [path for name in names if (path := f"{folder}/{name}" if folder else name) in sums]

    whole = sums.get("", [0, 0])
    rows = [Row("", "/", *whole)]

    def descend(folder: str, level: int, lead: str) -> None:
        paths = sorted(below(folder), key=lambda each: (-sums[each][0], each))
        count = sum(1 for place, each in enumerate(paths) if every or place < FEW or sums[each][0] >= SMALL * whole[0])
        shown, rest = (paths[:count], paths[count:]) if len(paths) > count + 1 else (paths, [])
        for number, path in enumerate(shown):
            end = path
            while len(single := below(end)) == 1 and not known.tree[single[0]].is_file:
                end = single[0]
            last = number == len(shown) - 1 and not rest
            name = recipe_text(end.removeprefix(f"{folder}/") if folder else end)
            rows.append(Row(lead + ("└─ " if last else "├─ "), name.replace("\n", "\\n"), *sums[path]))
            if level < depth:
                descend(end, level + 1, lead + ("   " if last else "│  "))
        if rest:
            amounts = [sum(sums[each][place] for each in rest) for place in (0, 1)]
            rows.append(Row(lead + "└─ ", f"... {len(rest)} more", *amounts))

    descend("", 1, "")
    return rows


def listing(known: Known, path: str) -> list[str]:
    """Lines in the manner of `ls -l`: what lies in the folder at `path`, or the file there. KeyError if nothing."""
    walk = known.tree.walk(path)
    if walk.node is None:
        raise KeyError(path)
    if walk.node.is_dir:
        names = [f"{walk.path}/{name}" if walk.path else name for name in known.tree.children(walk.path)]
    else:
        names = [walk.path]
    return [line(each, known.tree[each]) for each in names]


def line(path: str, node: Node) -> str:
    """One line of a listing."""
    bits = "".join(letter if node.mode & (0o400 >> place) else "-" for place, letter in enumerate("rwxrwxrwx"))
    name = recipe_text(path.rpartition("/")[2]).replace("\n", "\\n")
    target = f" -> {recipe_text(node.target)}" if node.is_link else ""
    return f"{LETTERS[node.kind]}{bits} {node.uid:>5} {node.gid:>5} {node.size:>12} {name}{target}"
