"""A tree as a tar, the same bytes for the same tree: sorted, epoch 0, no user names, hard links kept.

ustar headers, with a pax header before a member whose name, target or size does not fit one (POSIX.1-2017).
"""

from collections.abc import Iterator

from smith import tree as t
from smith.content import CHUNK, Content
from smith.errors import InputError
from smith.tree import Node, Tree

BLOCK = 512
MAX_OCTAL = 0o77777777777
END = bytes(2 * BLOCK)
_KINDS = {t.FILE: b"0", t.SYMLINK: b"2", t.CHAR: b"3", t.BLOCK: b"4", t.DIRECTORY: b"5", t.FIFO: b"6"}
_PADDING = bytes(BLOCK)


def tar(tree: Tree) -> Iterator[bytes]:
    """The whole tar of a tree, in pieces. Nodes that are one object are written once and linked."""
    first: dict[int, str] = {}
    for path, node in tree.sorted():
        name = path
        if node.is_file:
            before = first.setdefault(id(node), path)
            if before != path:
                yield header(path, node, link=before)
                continue
        elif node.is_dir:
            name += "/"
        yield header(name, node)
        if node.is_file and node.size:
            if node.content is None:
                raise InputError(f"/{path}: its content is not known")
            yield from data(node.content)
    yield END


def data(content: Content) -> Iterator[bytes]:
    """A member's bytes with the padding after them."""
    yield from content.chunks(CHUNK // 4)
    if content.size % BLOCK:
        yield _PADDING[content.size % BLOCK :]


def header(name: str, node: Node, *, link: str | None = None) -> bytes:
    """The header block(s) of one member; `link` makes it a hard link to that path."""
    raw_name = name.encode(errors="surrogateescape")
    target = (link if link is not None else node.target).encode(errors="surrogateescape")
    size = node.size if node.is_file and link is None else 0
    kind = b"1" if link is not None else _KINDS[node.kind]
    records: list[tuple[bytes, bytes]] = []
    prefix, short = _split(raw_name)
    if short is None:
        records.append((b"path", raw_name))
        prefix, short = b"", raw_name[:100]
    if len(target) > 100:
        records.append((b"linkpath", target))
        target = target[:100]
    if size > MAX_OCTAL:
        records.append((b"size", b"%d" % size))
    for field, value in ((b"uid", node.uid), (b"gid", node.gid)):
        if value > 0o7777777:
            records.append((field, b"%d" % value))
    block = _block(short, prefix, target, node, kind, min(size, MAX_OCTAL))
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in sorted(records))
    extended = _block(b"PaxHeaders/" + raw_name[-80:].strip(b"/"), b"", b"", Node(t.FILE, 0o644), b"x", len(body))
    return extended + body + bytes(-len(body) % BLOCK) + block


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    if len(name) <= 100:
        return b"", name
    cut = name.rfind(b"/", 0, 156)
    while cut > 0:
        rest = name[cut + 1 :]
        if len(rest) > 100:
            break
        if rest and cut <= 155:
            return name[:cut], rest
        cut = name.rfind(b"/", 0, cut)
    return b"", None


def _block(name: bytes, prefix: bytes, target: bytes, node: Node, kind: bytes, size: int) -> bytes:
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (node.mode & 0o7777, min(node.uid, 0o7777777), min(node.gid, 0o7777777)),
            b"%011o\0%011o\0        " % (size, 0),
            kind,
            target.ljust(100, b"\0"),
            b"ustar\x0000".ljust(72, b"\0"),
            b"%07o\0%07o\0" % node.device,
            prefix.ljust(155, b"\0"),
        )
    ).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(body) + len(b"%d" % length) != length:
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body
