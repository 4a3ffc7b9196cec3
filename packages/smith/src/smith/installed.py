"""Which packages a tree says that it has: dpkg's status, status.d of stripped images, apk's installed."""

from collections.abc import Iterator
from dataclasses import replace

from smith.errors import InputError
from smith.hosttree import HostTree
from smith.sources import Package
from smith.tree import Tree

DPKG_STATUS = "var/lib/dpkg/status"
DPKG_STATUS_D = "var/lib/dpkg/status.d"
DPKG_INFO = "var/lib/dpkg/info"
APK_INSTALLED = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
MAX_DATABASE = 64 << 20


def packages(tree: Tree) -> list[Package]:
    """The packages by the databases in the tree, with the files of each by their real paths."""
    found = list(_dpkg(tree))
    for path in APK_INSTALLED:
        data = read(tree, path)
        if data:
            found += _apk(tree, data)
            break
    if not found:
        found += _rpm(tree)
    return found


def own_files(tree: Tree, found: list[Package]) -> None:
    """Write each file's owner into its node."""
    for package in found:
        for path in package.files:
            node = tree.get(path)
            if node is not None and not node.is_dir:
                node.package = package.name


def read(tree: Tree, path: str) -> bytes:
    """A small file of the tree, whole; empty when it is not there."""
    node = tree.walk(path).node
    if node is None or node.content is None:
        return b""
    if node.size > MAX_DATABASE:
        raise InputError(f"/{path} is {node.size} bytes, too big for a package database")
    return node.content.read_at(0, node.size)


def fields(stanza: str) -> dict[str, str]:
    """A deb822 stanza (deb822(5)); continued lines keep their line breaks."""
    result: dict[str, str] = {}
    last = ""
    for line in stanza.split("\n"):
        if line[:1] in (" ", "\t"):
            if last:
                result[last] += "\n" + line
        else:
            name, colon, value = line.partition(":")
            if colon:
                last = name.strip().lower()
                result[last] = value.strip()
    return result


def _dpkg(tree: Tree) -> Iterator[Package]:
    stanzas: list[tuple[str, str]] = []
    for stanza in read(tree, DPKG_STATUS).decode(errors="surrogateescape").split("\n\n"):
        if stanza.strip():
            stanzas.append((stanza.strip("\n"), DPKG_INFO))
    folder = tree.resolve(DPKG_STATUS_D)
    for name in tree.children(folder) if folder else ():
        if "." not in name or not name.endswith((".md5sums", ".list")):
            text = read(tree, f"{folder}/{name}").decode(errors="surrogateescape")
            stanzas.append((text.strip("\n"), DPKG_STATUS_D))
    for stanza, info in stanzas:
        said = fields(stanza)
        name, arch = said.get("package", ""), said.get("architecture", "")
        if not name or "installed" not in said.get("status", "install ok installed").split()[-1:]:
            continue
        listed = read(tree, f"{info}/{name}:{arch}.list") or read(tree, f"{info}/{name}.list")
        if not listed:
            sums = read(tree, f"{info}/{name}.md5sums")
            listed = b"\n".join(line.partition(b"  ")[2] for line in sums.split(b"\n"))
        source, _, version = said.get("source", name).partition(" ")
        yield Package(
            name=name,
            version=said.get("version", ""),
            arch=arch,
            family="deb",
            files=tuple(_real(tree, listed.decode(errors="surrogateescape").split("\n"))),
            source=source,
            source_version=version.strip("()") or said.get("version", ""),
            metadata=stanza.encode(errors="surrogateescape"),
            sha256="",
        )


def _apk(tree: Tree, data: bytes) -> Iterator[Package]:
    for stanza in data.decode(errors="surrogateescape").split("\n\n"):
        said: dict[str, str] = {}
        files: list[str] = []
        folder = ""
        for line in stanza.split("\n"):
            key, _, value = line.partition(":")
            if key == "F":
                folder = value
            elif key == "R":
                files.append(f"{folder}/{value}" if folder else value)
            else:
                said.setdefault(key, value)
        if said.get("P"):
            yield Package(
                name=said["P"],
                version=said.get("V", ""),
                arch=said.get("A", ""),
                family="apk",
                files=tuple(_real(tree, files)),
                source=said.get("o", said["P"]),
                licence=said.get("L", ""),
                url=said.get("U", ""),
                metadata=stanza.encode(errors="surrogateescape"),
            )


def _rpm(tree: Tree) -> Iterator[Package]:
    from smith.sources.rpm import installed

    for package, listed in installed.packages(tree):
        yield replace(package, files=tuple(_real(tree, listed)))


def _real(tree: Tree, listed: list[str]) -> Iterator[str]:
    """Real paths of listed ones. Of a folder of this machine it is not asked whether each is there: there are many."""
    there: dict[str, str | None] = {}
    check = not isinstance(tree, HostTree)
    for line in listed:
        path = line.strip("/")
        parent, _, name = path.rpartition("/")
        if not name or name == ".":
            continue
        if parent not in there:
            there[parent] = tree.resolve(parent)
        real = there[parent]
        if real is not None:
            found = f"{real}/{name}" if real else name
            if not check or found in tree:
                yield found
