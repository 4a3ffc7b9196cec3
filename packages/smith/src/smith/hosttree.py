"""A folder of this machine as a tree: read as it is asked for, so that `/` costs what is looked at."""

import os
import stat

from smith import tree as t
from smith.content import FileContent
from smith.errors import SmithError
from smith.tree import Node, Tree

NEVER = frozenset({"proc", "sys", "dev"})
_KINDS = {
    stat.S_IFDIR: t.DIRECTORY,
    stat.S_IFREG: t.FILE,
    stat.S_IFLNK: t.SYMLINK,
    stat.S_IFIFO: t.FIFO,
    stat.S_IFCHR: t.CHAR,
    stat.S_IFBLK: t.BLOCK,
}


class HostTree(Tree):
    """A tree whose nodes are read from a folder at the first question. Its own additions win."""

    def __init__(self, root: str = "/") -> None:
        super().__init__()
        self.root = root
        self._listed: set[str] = set()
        self._absent: set[str] = set()
        self._links: dict[tuple[int, int], Node] = {}

    def get(self, path: str) -> Node | None:
        node = self._nodes.get(path)
        if node is not None or path in self._absent:
            return node
        parent, _, name = path.rpartition("/")
        if parent in self._listed or (not parent and self.root == "/" and name in NEVER):
            return None
        if parent:
            above = self.get(parent)
            if above is None or not above.is_dir:
                return None
        node = self._read(path)
        if node is None:
            self._absent.add(path)
            return None
        self._put(path, node)
        return node

    def __getitem__(self, path: str) -> Node:
        node = self.get(path)
        if node is None:
            raise KeyError(path)
        return node

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def below(self, path: str) -> list[str]:
        node = self.get(path)
        if node is None or not node.is_dir:
            return []
        if path not in self._listed:
            try:
                names = os.listdir(os.path.join(self.root, path))
            except OSError:
                names = []
            for name in names:
                self.get(f"{path}/{name}" if path else name)
            self._listed.add(path)
        return super().below(path)

    def remove(self, path: str) -> None:
        super().remove(path)
        self._absent.add(path)

    def _put(self, path: str, node: Node) -> None:
        self._nodes[path] = node
        self._children.setdefault(path.rpartition("/")[0], {})[path] = None
        if node.is_dir:
            self._children.setdefault(path, {})

    def _read(self, path: str) -> Node | None:
        where = os.path.join(self.root, path)
        try:
            found = os.lstat(where)
            kind = _KINDS.get(stat.S_IFMT(found.st_mode))
            if kind is None:
                return None
            target = os.readlink(where) if kind == t.SYMLINK else ""
        except OSError:
            return None
        if kind == t.FILE and found.st_nlink > 1:
            known = self._links.get((found.st_dev, found.st_ino))
            if known is not None:
                return known
        node = Node(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, target=target)
        if kind == t.FILE:
            node.size = found.st_size
            node.content = FileContent(where, found.st_size)
            if found.st_nlink > 1:
                self._links[found.st_dev, found.st_ino] = node
        return node


def overlay(tree: Tree, folder: str, *, skip: tuple[str, ...] = (".gitignore",)) -> list[str]:
    """Lay a folder over a tree and give the tree paths of its entries. Its files win; `skip` names are left out."""
    found: list[str] = []
    pending = [""]
    source = HostTree(folder)
    try:
        os.listdir(folder)
    except OSError as error:
        raise SmithError(f"{folder}: cannot be read: {error.strerror}") from None
    while pending:
        below = pending.pop(0)
        for name in source.children(below):
            path = f"{below}/{name}" if below else name
            if name in skip:
                continue
            node = source[path]
            if node.is_file and not os.access(os.path.join(folder, path), os.R_OK):
                raise SmithError(f"{os.path.join(folder, path)}: cannot be read: permission denied")
            found.append(tree.add(path, node))
            if node.is_dir:
                pending.append(path)
    return found
