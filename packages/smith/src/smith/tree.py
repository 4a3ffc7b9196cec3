"""A filesystem that is nowhere: path -> node. Every source loads into one, and nothing is unpacked.

Paths are text without a leading slash, decoded as file names are (surrogateescape); the root is "". Hard links
are paths that share one Node object. The tree never holds a path below a symlink: `add` follows the symlinks of
the parent directories, inside the tree, as a tar extraction inside a root would (this is what merged /usr needs).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from smith.content import BytesContent, Content
from smith.errors import InputError

FILE = "file"
DIRECTORY = "dir"
SYMLINK = "symlink"
FIFO = "fifo"
CHAR = "char"
BLOCK = "block"

NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})

MAX_LINKS = 40
"""As the kernel's own limit (path_resolution(7))."""


@dataclass(slots=True, eq=False)
class Node:
    """What is at a path. `target` is a symlink's text, `size` and `content` are a regular file's; `package` is its
    owner, `md5` what that says of the content (empty: not known)."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    target: str = ""
    size: int = 0
    content: Content | None = None
    package: str | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=lambda: NO_XATTRS)
    device: tuple[int, int] = (0, 0)
    mtime: int = 0
    md5: str = ""

    @property
    def is_dir(self) -> bool:
        return self.kind == DIRECTORY

    @property
    def is_file(self) -> bool:
        return self.kind == FILE

    @property
    def is_link(self) -> bool:
        return self.kind == SYMLINK


class Walk(NamedTuple):
    """A path followed to its end: the symlinks met (each by its own real path), the end, and what is there."""

    links: tuple[str, ...]
    path: str
    node: Node | None


class Tree:
    """The files of one root. Iteration is in the order of insertion; `sorted()` gives the writer's order."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"": Node(DIRECTORY, 0o755)}
        self._children: dict[str, dict[str, None]] = {"": {}}
        self._real: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def __len__(self) -> int:
        return len(self._nodes) - 1

    def get(self, path: str) -> Node | None:
        """The node at exactly this path, symlinks not followed."""
        return self._nodes.get(path)

    def __getitem__(self, path: str) -> Node:
        return self._nodes[path]

    def items(self) -> Iterator[tuple[str, Node]]:
        """All (path, node) but the root."""
        return ((path, node) for path, node in self._nodes.items() if path)

    def sorted(self) -> Iterator[tuple[str, Node]]:
        """All (path, node) but the root, parents before children, in byte order of the path's parts."""
        pending = [""]
        while pending:
            path = pending.pop()
            if path:
                yield path, self._nodes[path]
            below = self._children.get(path)
            if below:
                pending += sorted(below, key=_bytes, reverse=True)

    def linked(self) -> set[int]:
        """Identities (`id`) of the nodes that several paths share: hard links."""
        seen: set[int] = set()
        twice: set[int] = set()
        for node in self._nodes.values():
            (twice if id(node) in seen else seen).add(id(node))
        return twice

    def children(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty for anything else."""
        return [below.rpartition("/")[2] for below in self.below(path)]

    def below(self, path: str) -> list[str]:
        """Paths of what is in a directory, sorted; empty for anything else."""
        return sorted(self._children.get(path, ()))

    def descendants(self, path: str) -> Iterator[str]:
        """Every path below `path`, sorted, parents first."""
        for below in self.below(path):
            yield below
            yield from self.descendants(below)

    def add(self, path: str, node: Node, *, keep_directory: bool = False) -> str:
        """Put `node` at `path` and say where it really went: parents' symlinks are followed, missing parents made.

        A directory onto an existing directory takes the new mode and owner; onto a symlink that leads to a
        directory it changes nothing. Anything else replaces what was there, with all below it, unless
        `keep_directory` (dpkg's rule: a symlink does not replace a directory).
        InputError for paths that leave the root.
        """
        path = clean(path)
        if not path:
            if node.is_dir:
                self._nodes[""] = node
            return ""
        above, _, name = path.rpartition("/")
        parent = self._directory(above) if above else above
        if parent != above:
            path = f"{parent}/{name}" if parent else name
        old = self._nodes.get(path)
        if old is not None:
            if node.is_dir:
                if old.is_dir:
                    self._nodes[path] = node
                    return path
                if old.is_link:
                    walk = self.walk(path)
                    if walk.node is not None and walk.node.is_dir:
                        return walk.path
            elif old.is_dir:
                if keep_directory:
                    return path
                self.remove(path)
            if old.is_link or node.is_link:
                self._real.clear()
        elif node.is_link:
            self._real.clear()
        self._nodes[path] = node
        self._children[parent][path] = None
        if node.is_dir:
            self._children.setdefault(path, {})
        return path

    def link(self, path: str, existing: str) -> str:
        """Make `path` a hard link of `existing`. InputError when that is not a file of this tree."""
        walk = self.walk(existing, last=False)
        if walk.node is None or walk.node.is_dir:
            raise InputError(f"hard link {path!r} to {existing!r}: there is no such file before it")
        return self.add(path, walk.node)

    def remove(self, path: str) -> None:
        """Take away `path` and all below it; nothing happens when it is not there."""
        node = self._nodes.get(path)
        if node is None or not path:
            return
        for below in list(self.descendants(path)):
            del self._nodes[below]
            self._children.pop(below, None)
        del self._nodes[path]
        self._children.pop(path, None)
        self._children[path.rpartition("/")[0]].pop(path, None)
        self._real.clear()

    def clear_directory(self, path: str) -> None:
        """Empty a directory (an opaque whiteout)."""
        for below in self.below(path):
            self.remove(below)

    def walk(self, path: str, *, last: bool = True) -> Walk:
        """Follow `path` inside the root: `..` stops at the root, absolute targets start there.

        `node` is None when nothing is there or symlinks go round; `path` is then where it ended.
        With `last` false a symlink at the end is not followed.
        """
        node = self._nodes.get(path)
        if node is not None and (not last or node.kind != SYMLINK):
            # What is in the tree under that name has no link above it, and a clean name: see `add`.
            return Walk((), path, node)
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links: list[str] = []
        here = ""
        while pending:
            part = pending.pop()
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            step = f"{here}/{part}" if here else part
            node = self.get(step)
            if node is None:
                return Walk(tuple(links), "/".join([step, *reversed(pending)]), None)
            if node.is_link and (pending or last):
                links.append(step)
                if len(links) > MAX_LINKS:
                    return Walk(tuple(links), step, None)
                if node.target.startswith("/"):
                    here = ""
                pending.extend(p for p in reversed(node.target.split("/")) if p and p != ".")
                continue
            if pending and not node.is_dir:
                return Walk(tuple(links), step, None)
            here = step
        return Walk(tuple(links), here, self.get(here))

    def resolve(self, path: str) -> str | None:
        """The real path that `path` leads to, or None when there is nothing."""
        walk = self.walk(path)
        return walk.path if walk.node is not None else None

    def copy(self) -> "Tree":
        """A tree of its own over the same nodes."""
        other = Tree()
        other._nodes = dict(self._nodes)
        other._children = {path: dict(names) for path, names in self._children.items()}
        return other

    def changed(self, path: str, **changes: object) -> Node:
        """Replace the node at `path` by a changed copy (its hard links stay as they were)."""
        node = replace(self._nodes[path], **changes)  # type: ignore[arg-type]
        self._nodes[path] = node
        return node

    def _directory(self, path: str) -> str:
        """The real path of a directory, made with its parents when it is missing."""
        known = self._real.get(path)
        if known is not None:
            return known
        walk = self.walk(path)
        if walk.node is not None and walk.node.is_dir:
            self._real[path] = walk.path
            return walk.path
        if walk.node is not None:
            self.remove(walk.path)
        elif len(walk.links) > MAX_LINKS:
            raise InputError(f"{path!r} goes round in symlinks")
        made = ""
        for part in walk.path.split("/"):
            if part == "..":
                made = made.rpartition("/")[0]
                continue
            parent, made = made, f"{made}/{part}" if made else part
            old = self._nodes.get(made)
            if old is None or not old.is_dir:
                self.remove(made)
                self._nodes[made] = Node(DIRECTORY, 0o755)
                self._children[parent][made] = None
                self._children[made] = {}
        self._real[path] = made
        return made


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def clean(path: str) -> str:
    """A member's name as a tree path: leading `/` and `./`, doubled slashes go. InputError for `..` and NUL."""
    if path and path[0] not in "./" and "//" not in path and "/." not in path and path[-1] != "/" and "\0" not in path:
        return path
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise InputError(f"the path {path!r} leaves the root: it has a '..' in it")
    if "\0" in path:
        raise InputError(f"the path {path!r} has a NUL byte in it")
    return "/".join(parts)


def made(data: bytes, mode: int = 0o644) -> Node:
    """A regular file of bytes that smith itself makes."""
    return Node(FILE, mode, size=len(data), content=BytesContent(data))
