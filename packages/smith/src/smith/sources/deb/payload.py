"""Packages onto a tree: dpkg's rules for directories and links, merged /usr, and which files each package gave."""

from __future__ import annotations

from collections.abc import Collection

from smith import tree as t
from smith.errors import InputError
from smith.layers import KINDS
from smith.sources.deb.archive import Deb
from smith.tarindex import Member
from smith.tree import Node, Tree

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32")


def merge_usr(tree: Tree) -> None:
    """Begin a tree as Debian's merged /usr does: the top directories are links into /usr (bookworm's usrmerge)."""
    for name in MERGED:
        tree.add(f"usr/{name}", Node(t.DIRECTORY, 0o755))
        tree.add(name, Node(t.SYMLINK, 0o777, target=f"usr/{name}"))


def settle_usr(tree: Tree) -> None:
    """Take away the directories of merged /usr that no package filled, and the links to them."""
    for name in MERGED:
        if not tree.children(f"usr/{name}"):
            tree.remove(name)
            tree.remove(f"usr/{name}")


def add(tree: Tree, deb: Deb, name: str, only: Collection[str] | None = None) -> list[str]:
    """Put one package's files into the tree; the real paths of its files, links and empty directories.

    With `only`, nothing but the files at those paths is taken.
    A directory that is there keeps its mode and owner; a symlink does not replace a directory (dpkg(1)).
    InputError for names that leave the root, and for hard links to nothing.
    """
    given: dict[str, None] = {}
    directories: dict[str, None] = {}
    try:
        for member in deb.members():
            if only is not None and t.clean(member.name) not in only:
                continue
            path = _add(tree, deb, member, name)
            if path:
                (directories if member.kind == "5" else given)[path] = None
    except InputError as error:
        raise error if deb.what in error.message else InputError(f"{deb.what}: {error}") from None
    _sums(tree, deb, name)
    parents = {path.rpartition("/")[0] for path in (*given, *directories)}
    for path in directories:
        if path not in parents:
            given[path] = None
            node = tree.get(path)
            if node is not None and node.package is None:
                node.package = name
    return list(given)


def _sums(tree: Tree, deb: Deb, name: str) -> None:
    """Give the files the sums that the package says, as dpkg keeps them (deb-md5sums(5))."""
    for line in deb.scripts.get("md5sums", b"").split(b"\n"):
        md5, _, path = line.decode("utf-8", "surrogateescape").partition("  ")
        node = tree.walk(path, last=False).node if path and len(md5) == 32 else None
        if node is not None and node.package == name:
            node.md5 = md5


def _add(tree: Tree, deb: Deb, member: Member, name: str) -> str:
    if member.kind == "1":
        return tree.link(member.name, t.clean(member.target))
    if member.kind == "5":
        path = t.clean(member.name)
        walk = tree.walk(path)
        if walk.node is not None and walk.node.is_dir:
            return walk.path
        return tree.add(path, Node(t.DIRECTORY, member.mode, member.uid, member.gid))
    node = Node(
        KINDS.get(member.kind, t.FILE),
        member.mode,
        member.uid,
        member.gid,
        package=name,
        xattrs=member.xattrs or t.NO_XATTRS,
        device=member.device,
    )
    if node.is_link:
        node.target = member.target
    elif node.is_file:
        node.size = member.size
        node.content = deb.content(member)
    return tree.add(member.name, node, keep_directory=node.is_link)
