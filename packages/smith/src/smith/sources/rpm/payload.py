"""An rpm's files: names, modes and owners by its header, contents from the cpio payload (cpio(5))."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from smith import tree as t
from smith.cache import CHUNK, Cache
from smith.content import Content, FileContent
from smith.errors import InputError, VerificationError
from smith.inflate import compression_of, expand
from smith.layers import region
from smith.sources.rpm import header as h
from smith.sources.stored import copy
from smith.tree import Node, Tree

_NEWC = 110
_KINDS = {
    stat.S_IFDIR: t.DIRECTORY,
    stat.S_IFLNK: t.SYMLINK,
    stat.S_IFREG: t.FILE,
    stat.S_IFCHR: t.CHAR,
    stat.S_IFBLK: t.BLOCK,
    stat.S_IFIFO: t.FIFO,
}
_IDS = {"root": 0, "bin": 1, "daemon": 2, "adm": 4, "nobody": 65534}
_DIGESTS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}


@dataclass(slots=True)
class File:
    """One file by the header. `mode` holds the type bits; `link` numbers the files that are one by hard links."""

    path: str
    mode: int
    size: int
    user: str
    group: str
    target: str = ""
    flags: int = 0
    capabilities: str = ""
    digest: str = ""
    link: tuple[int, int] = (0, 0)
    device: int = 0

    @property
    def ghost(self) -> bool:
        return bool(self.flags & h.GHOST)


def files(header: h.Header) -> list[File]:
    """The header's file table. InputError when its columns do not fit together."""
    names = header.texts(h.BASENAMES)
    folders = header.texts(h.DIRNAMES)
    indexes = header.numbers(h.DIRINDEXES)
    modes = header.numbers(h.FILEMODES)
    sizes = header.numbers(h.LONGFILESIZES) or header.numbers(h.FILESIZES)
    columns: dict[str, list[str] | list[int]] = {
        "users": header.texts(h.FILEUSERNAME),
        "groups": header.texts(h.FILEGROUPNAME),
        "targets": header.texts(h.FILELINKTOS),
        "flags": header.numbers(h.FILEFLAGS),
        "digests": header.texts(h.FILEDIGESTS),
        "inodes": header.numbers(h.FILEINODES),
        "devices": header.numbers(h.FILEDEVICES),
        "rdevs": header.numbers(h.FILERDEVS),
        "caps": header.texts(h.FILECAPS),
    }
    if not len(names) == len(indexes) == len(modes) == len(sizes) or any(i >= len(folders) for i in indexes):
        raise InputError(f"{header.what}: the rpm header is damaged (its file lists do not fit together)")
    if any(column and len(column) != len(names) for column in columns.values()):
        raise InputError(f"{header.what}: the rpm header is damaged (its file lists do not fit together)")

    def text(column: str, number: int) -> str:
        return str(columns[column][number]) if columns[column] else ""

    def integer(column: str, number: int) -> int:
        return int(columns[column][number]) if columns[column] else 0

    return [
        File(
            path=folders[indexes[i]] + name,
            mode=modes[i],
            size=sizes[i],
            user=text("users", i) or "root",
            group=text("groups", i) or "root",
            target=text("targets", i),
            flags=integer("flags", i),
            capabilities=text("caps", i),
            digest=text("digests", i),
            link=(integer("devices", i), integer("inodes", i)),
            device=integer("rdevs", i),
        )
        for i, name in enumerate(names)
    ]


@dataclass(slots=True)
class Rpm:
    """An opened package: its header, its file table, and where each file's data lies in the plain cpio."""

    header: h.Header
    files: list[File]
    data: Content
    offsets: dict[int, int] = field(default_factory=dict)

    def content(self, number: int) -> Content:
        """The bytes of the regular file with that number in the table. InputError when the payload lacks it."""
        item = self.files[number]
        if not item.size:
            return region(self.data, 0, 0)
        if number not in self.offsets:
            raise InputError(f"{self.header.what}: the payload has no data for {item.path}")
        return region(self.data, self.offsets[number], item.size)


def open_rpm(cache: Cache, sha256: str, what: str) -> Rpm:
    """Open a package that is in the cache, its payload inflated once. InputError for a damaged one."""
    with cache.open(sha256) as stream:
        parts = h.read(stream, what)
        compression = compression_of(stream.read(6))

    def produce(sink: BinaryIO) -> None:
        with cache.open(sha256) as stream:
            stream.seek(parts.payload)
            copy(expand(iter(lambda: stream.read(CHUNK), b""), compression, f"{what}: payload"), sink, what)

    if parts.header.text(h.PAYLOADFORMAT) not in ("cpio", ""):
        raise InputError(f"{what}: the payload is {parts.header.text(h.PAYLOADFORMAT)}, not cpio")
    data = FileContent(cache.derive("rpm-payload-1", sha256, produce), origin=f"rpm {sha256}")
    package = Rpm(parts.header, files(parts.header), data)
    package.offsets = _offsets(data, package.files, what)
    return package


def verify_payload(stream: BinaryIO, parts: h.RpmFile, what: str) -> None:
    """Check the compressed payload against the header's digest of it, where the header has one. VerificationError."""
    expected = parts.header.text(h.PAYLOADDIGEST)
    algorithm = _DIGESTS.get(parts.header.number(h.PAYLOADDIGESTALGO, 8))
    if not expected or algorithm is None:
        return
    digest = hashlib.new(algorithm)
    stream.seek(parts.payload)
    while data := stream.read(CHUNK):
        digest.update(data)
    if digest.hexdigest() != expected:
        raise VerificationError(
            f"{what}: the payload does not have the digest that the header promises; nothing was kept"
        )


def _offsets(data: Content, table: list[File], what: str) -> dict[int, int]:
    """Number in the file table -> where its bytes begin. Of hard links the bytes come with the last one."""
    by_path = {item.path.lstrip("/"): number for number, item in enumerate(table)}
    found: dict[int, int] = {}
    for name, number, offset, size in _entries(data, table, what):
        if name:
            number = by_path.get(name.removeprefix("./").lstrip("/"), -1)
        if number < 0:
            raise InputError(f"{what}: the payload has {name!r}, which the header does not list")
        if size and stat.S_ISREG(table[number].mode):
            if size != table[number].size:
                raise InputError(f"{what}: {table[number].path} has {size} bytes, not {table[number].size}")
            found[number] = offset
    shared = {table[n].link: where for n, where in found.items() if table[n].link != (0, 0)}
    for number, item in enumerate(table):
        if number not in found and item.link in shared and stat.S_ISREG(item.mode):
            found[number] = shared[item.link]
    return found


def _entries(data: Content, table: list[File], what: str) -> Iterator[tuple[str, int, int, int]]:
    """(name or "", number in the table or -1, offset of the bytes, size) for each entry."""
    position = 0
    while True:
        head = data.read_at(position, _NEWC)
        try:
            if head[:6] in (b"070701", b"070702") and len(head) == _NEWC:
                size, length = int(head[54:62], 16), int(head[94:102], 16)
                if not 0 < length < 8192:
                    raise ValueError
                name = data.read_at(position + _NEWC, length)[:-1].decode("utf-8", "surrogateescape")
                number, start = -1, _aligned(position + _NEWC + length)
            elif head[:6] == b"07070X" and len(head) >= 14:
                number, name = int(head[6:14], 16), ""
                size = table[number].size if stat.S_ISREG(table[number].mode) else 0
                if stat.S_ISLNK(table[number].mode):
                    size = len(table[number].target.encode("utf-8", "surrogateescape"))
                start = _aligned(position + 14)
            else:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(f"{what}: the payload is damaged at byte {position}") from None
        if name == "TRAILER!!!":
            return
        if start + size > data.size:
            raise InputError(f"{what}: the payload is cut short")
        position = _aligned(start + size)
        if number >= 0 and not stat.S_ISREG(table[number].mode):
            size = 0
        yield name, number, start, size


def _aligned(position: int) -> int:
    return (position + 3) & ~3


def add(tree: Tree, package: Rpm, name: str) -> list[str]:
    """Put one package's files into the tree; the paths of its files, links and empty directories. InputError."""
    given: dict[str, None] = {}
    directories: dict[str, None] = {}
    links: dict[tuple[int, int], str] = {}
    try:
        for number, item in enumerate(package.files):
            if item.ghost:
                continue
            regular = stat.S_ISREG(item.mode)
            if regular and item.link in links and item.link != (0, 0):
                path = tree.link(item.path, links[item.link])
            else:
                path = _add(tree, package, number, name)
                if regular:
                    links[item.link] = path
            (directories if stat.S_ISDIR(item.mode) else given)[path] = None
    except InputError as error:
        what = package.header.what
        raise error if what in error.message else InputError(f"{what}: {error}") from None
    parents = {path.rpartition("/")[0] for path in (*given, *directories)}
    return [*given, *(path for path in directories if path and path not in parents)]


def _add(tree: Tree, package: Rpm, number: int, name: str) -> str:
    item = package.files[number]
    kind = _KINDS.get(stat.S_IFMT(item.mode))
    if kind is None:
        raise InputError(f"{item.path} has the unknown mode {item.mode:o}")
    if kind == t.DIRECTORY:
        walk = tree.walk(item.path)
        if walk.node is not None and walk.node.is_dir:
            return walk.path
    node = Node(
        kind,
        stat.S_IMODE(item.mode),
        _IDS.get(item.user, 65534),
        _IDS.get(item.group, 65534),
        package=None if kind == t.DIRECTORY else name,
        xattrs={"security.capability": item.capabilities.encode()} if item.capabilities else {},
        device=(item.device >> 8, item.device & 0xFF),
    )
    if node.is_link:
        node.target = item.target
    elif node.is_file:
        node.size = item.size
        node.content = package.content(number)
    return tree.add(item.path, node, keep_directory=node.is_link)
