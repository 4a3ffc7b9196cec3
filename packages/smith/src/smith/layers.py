"""Layers onto a tree: what the image spec says of changesets, whiteouts and opaque directories (layer.md)."""

from collections.abc import Iterable

from smith import tree as t
from smith.content import Content, RegionContent
from smith.errors import InputError
from smith.tarindex import Member, data_of, members
from smith.tree import Node, Tree

WHITEOUT = ".wh."
OPAQUE = ".wh..opq"
"""What is left of the name of an opaque whiteout without its first mark."""
KINDS = {"5": t.DIRECTORY, "2": t.SYMLINK, "3": t.CHAR, "4": t.BLOCK, "6": t.FIFO}


def apply(tree: Tree, layer: Content, what: str) -> int:
    """Put one layer (an inflated tar) over `tree`. `what` names it in errors. Gives the number of its entries.

    Whiteouts take away only what lower layers put there, wherever they stand in the tar. InputError for names
    that leave the root and for hard links to nothing.
    """
    found: Iterable[Member] = members(layer, what)
    count = 0
    try:
        if len(tree):
            found = list(found)
            for member in found:
                _white_out(tree, member)
        for member in found:
            _add(tree, member, layer)
            count += 1
    except InputError as error:
        raise error if what in error.message else InputError(f"{what}: {error}") from None
    return count


def load_tar(tree: Tree, archive: Content, what: str) -> int:
    """Put a plain tar, where `.wh.` means nothing, over `tree`."""
    count = 0
    try:
        for member in members(archive, what):
            _add(tree, member, archive, whiteouts=False)
            count += 1
    except InputError as error:
        raise error if what in error.message else InputError(f"{what}: {error}") from None
    return count


def _hidden(member: Member) -> tuple[str, str]:
    """The folder and the name that a whiteout takes away; no name for any other member. InputError."""
    parent, _, name = member.name.rstrip("/").rpartition("/")
    if not name.startswith(WHITEOUT):
        return "", ""
    hidden = name[len(WHITEOUT) :]
    if hidden in ("", ".", ".."):
        raise InputError(f"the whiteout {member.name!r} names no file")
    return t.clean(parent), hidden


def _white_out(tree: Tree, member: Member) -> None:
    parent, hidden = _hidden(member)
    real = tree.resolve(parent) if hidden else None
    if real is None:
        return
    if hidden == OPAQUE:
        tree.clear_directory(real)
    elif not hidden.startswith(WHITEOUT):
        tree.remove(f"{real}/{hidden}" if real else hidden)


def _add(tree: Tree, member: Member, layer: Content, *, whiteouts: bool = True) -> None:
    if whiteouts and _hidden(member)[1]:
        return
    if member.kind == "1":
        tree.link(member.name, t.clean(member.target))
        return
    node = Node(
        KINDS.get(member.kind, t.FILE),
        member.mode,
        member.uid,
        member.gid,
        xattrs=member.xattrs or t.NO_XATTRS,
        device=member.device,
        mtime=member.mtime,
    )
    if member.kind == "2":
        if not member.target or "\0" in member.target:
            raise InputError(f"the symlink {member.name!r} points to nothing")
        node.target = member.target
    elif node.is_file:
        node.size = member.size
        node.content = data_of(member, region(layer, member.offset, member.stored))
    tree.add(member.name, node)


def region(content: Content, offset: int, size: int) -> Content:
    """A part of a content, as a content."""
    if isinstance(content, RegionContent):
        return RegionContent(content.fd, content.offset + offset, size, content.holder)
    return _Part(content, offset, size)


class _Part(RegionContent):
    """A part of a content that is no open file."""

    __slots__ = ("whole",)

    def __init__(self, whole: Content, offset: int, size: int) -> None:
        super().__init__(-1, offset, size)
        self.whole = whole

    def identity(self) -> str:
        told = self.whole.identity()
        return f"{told} {self.offset} {self.size}" if told else ""

    def read_at(self, offset: int, length: int) -> bytes:
        return self.whole.read_at(self.offset + offset, max(0, min(length, self.size - offset)))
