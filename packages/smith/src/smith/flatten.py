"""The promises about modes and owners: one owner, 0755 and 0644, no setuid, no devices, the mount points there."""

from dataclasses import dataclass, field

from smith import tree as t
from smith.nss import Identity
from smith.tree import Node, Tree

POINTS = ("dev", "proc", "sys", "read")
WRITABLE = ("run", "write")
SPARSE_LIMIT = 1 << 30


@dataclass(slots=True)
class Losses:
    """What flattening took away, for the report. Each is a list of tree paths."""

    setuid: list[str] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


def private(node: Node) -> bool:
    """Whether others may not read it (a key, shadow)."""
    return node.is_file and not node.mode & 0o004


def flatten(tree: Tree, who: Identity, *, secret: frozenset[str] = frozenset()) -> tuple[Tree, Losses]:
    """A new tree with the image's modes and owner. Paths in `secret` become 0600, hard links stay links."""
    result, losses = Tree(), Losses()
    result.add("", Node(t.DIRECTORY, 0o755, who.uid, who.gid))
    linked, made = tree.linked(), dict[int, Node]()
    for path, node in tree.sorted():
        if node.kind in (t.CHAR, t.BLOCK, t.FIFO):
            losses.devices.append(path)
            continue
        if node.is_file and node.mode & 0o6000:
            losses.setuid.append(path)
        if "security.capability" in node.xattrs:
            losses.capabilities.append(path)
        if (node.uid, node.gid) not in ((0, 0), (who.uid, who.gid)):
            losses.owners.append(path)
        flat = made.get(id(node))
        if flat is None:
            flat = Node(
                node.kind,
                _mode(node, path in secret),
                who.uid,
                who.gid,
                target=node.target,
                size=node.size,
                content=node.content,
                package=node.package,
            )
            if id(node) in linked:
                made[id(node)] = flat
        result.add(path, flat)
    for _, node in result.items():
        if node.is_dir:
            node.uid, node.gid = who.uid, who.gid
    for path in POINTS:
        if path not in result:
            result.add(path, Node(t.DIRECTORY, 0o755, who.uid, who.gid))
    for path in WRITABLE:
        real = result.resolve(path)
        result.add(real if real is not None else path, Node(t.DIRECTORY, 0o1777, who.uid, who.gid))
    return result, losses


def _mode(node: Node, secret: bool) -> int:
    if node.is_link:
        return 0o777
    if node.is_dir:
        return 0o755
    if secret:
        return 0o600
    return 0o755 if node.mode & 0o111 else 0o644
