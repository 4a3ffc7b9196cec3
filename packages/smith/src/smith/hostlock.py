"""The lock of `type: host`: digests of the files that were chosen on this machine, and the files themselves if kept.

A locked build sees no other files of the machine than those, beside what it decides by: accounts, the loader's
configuration, the package database. With kept files it sees what the machine had on the day of the lock, anywhere.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from smith import applications, installed, recipe
from smith.content import FileContent
from smith.errors import SmithError, VerificationError
from smith.hosttree import HostTree
from smith.lock import Entry, Lock, path_of, request_of
from smith.lock import make as make_lock
from smith.selection import Selection
from smith.sources import SourceResult
from smith.spec import Spec
from smith.tree import Node, Tree

KIND = "file"
CONSULTED = (
    "etc/passwd",
    "etc/group",
    "usr/share/base-passwd/",
    "etc/ld.so.conf",
    "etc/ld-musl-",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/dpkg/status",
)
"""What decides and is not locked: the beginnings of paths."""
LISTS = "var/lib/dpkg/info/"
LIST_ENDINGS = (".list", ".md5sums", ".conffiles")


class LockedTree(HostTree):
    """A folder of a machine of which no other files are seen than the locked ones, and what is consulted."""

    def __init__(self, root: str, locked: dict[str, str]) -> None:
        super().__init__(root)
        self.locked = locked

    def _read(self, path: str) -> Node | None:
        node = super()._read(path)
        if node is not None and node.is_file and path not in self.locked and not consulted(path):
            return None
        return node


def consulted(path: str) -> bool:
    """Whether a build decides by this file without taking it."""
    return path.startswith(CONSULTED) or (path.startswith(LISTS) and path.endswith(LIST_ENDINGS))


def make(spec: Spec, selection: Selection, source: SourceResult, folder: str, now: float | None = None) -> Lock:
    """The lock of what was chosen; with `folder` the files are kept there. `selection` changes.

    SmithError when the files cannot be kept.
    """
    # Licences and os-release are chosen as late as the packages are known.
    recipe.keep(selection, source)
    chosen = dict(sorted(_own_files(selection)))
    entries = tuple(
        Entry(KIND, f"file:///{path}", node.content.sha256, node.size, name=path)
        for path, node in chosen.items()
        if node.content is not None
    )
    made = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if now is None else now))
    brought = tuple(entry for entry in make_lock(spec, source).entries if entry.kind in applications.KINDS)
    lock = Lock("host", source.platform, request_of(spec), made, (*entries, *brought))
    if not folder:
        return lock
    try:
        _keep(source.tree, chosen, folder)
        for path, reason in selection.chosen.items():
            if reason.kind == "application":
                # Where those go to is decided by the folders that are there.
                Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SmithError(f"{error.filename or folder}: cannot be kept: {error.strerror}") from None
    return replace(lock, vendor=os.path.relpath(folder, spec.directory))


def _own_files(selection: Selection) -> Iterator[tuple[str, Node]]:
    """The chosen files that are the machine's: none of rootfs/ or an application's packages, none that smith made."""
    for path, reason in selection.chosen.items():
        node = selection.tree[path]
        if isinstance(node.content, FileContent) and reason.kind not in ("rootfs", "application"):
            yield path, node


def _keep(tree: Tree, chosen: dict[str, Node], folder: str) -> None:
    """Copy the chosen files, what decided, and the links and folders on the way, with their modes."""
    for path, node in list(tree.items()):
        target = Path(folder, path)
        if node.is_file and path not in chosen and not consulted(path):
            continue
        if node.is_link:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(node.target)
        elif node.content is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            with node.content.open() as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            target.chmod(node.mode & 0o777)


def load(spec: Spec, lock: Lock) -> SourceResult:
    """The machine as it was locked, or the kept files of it. VerificationError, naming the file that is another."""
    root = os.path.join(spec.directory, lock.vendor) if lock.vendor else "/"
    if not lock.vendor and spec.package.endswith("/"):
        root = os.path.join(spec.directory, spec.package)
    files = [entry for entry in lock.entries if entry.kind == KIND]
    tree = LockedTree(root, {entry.name: entry.sha256 for entry in files})
    for entry in files:
        node = tree.get(entry.name)
        if node is None or node.content is None:
            raise VerificationError(f"/{entry.name}: is not there any more, and {path_of(spec)} has it")
        if node.content.sha256 != entry.sha256:
            raise VerificationError(
                f"/{entry.name}: is sha256:{node.content.sha256}, and {path_of(spec)} has sha256:{entry.sha256}"
            )
    return SourceResult(tree, installed.packages(tree), [], None, lock.platform)
