"""Which files of a tree are wanted, and why each one is: the answer to `smith why` is made here."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smith.content import SparseContent
from smith.errors import ConfigError, InputError
from smith.flatten import SPARSE_LIMIT, private
from smith.globs import Excludes, is_literal, match
from smith.spec import Pattern, Spec
from smith.tree import Node, Tree

PACKAGE_CLUTTER = Excludes(
    (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/lintian",
        "usr/share/bug",
        "usr/share/doc-base",
        "usr/share/locale",
        "usr/share/bash-completion",
        "usr/share/zsh",
        "usr/share/fish",
        "usr/share/applications",
        "usr/share/icons",
        "usr/share/pixmaps",
        "usr/share/gtk-doc",
        "usr/share/licenses",
        "usr/include",
        "usr/lib/.build-id",
        "usr/lib/systemd",
        "lib/systemd",
        "usr/lib/tmpfiles.d",
        "usr/lib/sysusers.d",
        "etc/init.d",
        "etc/cron.*",
        "etc/logrotate.d",
        "etc/ufw",
        "etc/apparmor.d",
        "etc/insserv.conf.d",
        "usr/share/apport",
        "usr/lib/pkgconfig",
        "usr/lib/*/pkgconfig",
        "usr/share/pkgconfig",
        "usr/lib/*/cmake",
        "**/*.a",
        "**/*.la",
        "var/lib/dpkg",
    )
)
"""What a package has that a running program has no use for: documentation, headers, units of other init systems."""


MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file is in: `kind` (path, package, rootfs, link, needed, interpreter, dlopen, ...), the file that
    brought it (`via`, empty for a wish of the yaml) and what was asked for (`detail`)."""

    kind: str
    via: str = ""
    detail: str = ""


@dataclass(slots=True)
class LeftOut:
    """What smith did not take, for the report: (path, why)."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, why: str) -> None:
        self.entries.append((path, why))


class Selection:
    """The paths wanted so far. All are real paths of the tree: symlinks on the way are in by themselves."""

    def __init__(self, tree: Tree, excludes: Excludes) -> None:
        self.tree = tree
        self.excludes = excludes
        self.chosen: dict[str, Reason] = {}
        self.fresh: deque[str] = deque()
        self.secret: set[str] = set()
        self.left_out = LeftOut()
        self.clutter: Excludes | None = None
        self.through_cache: set[str] = set()
        self.noted: set[str] = set()
        self.descended: set[tuple[str, Excludes | None]] = set()
        self.ruled: set[str] = set()
        self.optional: set[str] = set()

    def take(self, path: str, reason: Reason, *, literal: bool = False, recursive: bool = True) -> bool:
        """Want what `path` leads to, with the symlinks on the way. False when nothing of it may or can be had."""
        walk = self.tree.walk(path)
        if any(link in self.excludes for link in walk.links) or walk.path in self.excludes or path in self.excludes:
            return False
        for link in walk.links:
            if link not in self.chosen:
                self.chosen[link] = Reason("way", walk.path) if walk.node is not None else reason
        if walk.node is None:
            return bool(walk.links)
        if walk.path in self.chosen:
            if walk.node.is_dir and recursive:
                self._descend(walk.path, reason)
            return True
        if not self._allowed(walk.path, walk.node, reason, literal):
            return False
        self.chosen[walk.path] = reason
        if walk.node.is_dir:
            if recursive:
                self._descend(walk.path, reason)
        elif walk.node.is_file:
            self.fresh.append(walk.path)
        return True

    def _descend(self, path: str, reason: Reason) -> None:
        pending = [path]
        while pending:
            folder = pending.pop()
            if (folder, self.clutter) in self.descended:
                continue
            self.descended.add((folder, self.clutter))
            for below in self.tree.below(folder):
                if below in self.excludes or (self.clutter is not None and below in self.clutter):
                    continue
                node = self.tree[below]
                if below in self.chosen:
                    if node.is_dir:
                        pending.append(below)
                    continue
                if node.is_link:
                    walk = self.tree.walk(below)
                    recursive = walk.node is not None and walk.path not in self.chosen
                    self.take(below, reason, recursive=recursive)
                elif self._allowed(below, node, reason, False):
                    self.chosen[below] = reason
                    if node.is_dir:
                        pending.append(below)
                    elif node.is_file:
                        self.fresh.append(below)

    def _allowed(self, path: str, node: Node, reason: Reason, literal: bool) -> bool:
        if "\n" in path or "\n" in node.target:
            raise InputError(f"the file {path!r} has a newline in its name, which no list can hold: exclude it")
        if isinstance(node.content, SparseContent) and node.size > SPARSE_LIMIT:
            raise InputError(f"/{path} is a sparse file of {node.size} bytes, over the limit of 1 GiB: exclude it")
        if not private(node) or reason.kind == "rootfs":
            return True
        if literal:
            self.secret.add(path)
            return True
        if reason.kind == "path":
            raise InputError(
                f"/{path}, which {reason.detail!r} matches, may not be read by others (mode {node.mode:04o}): "
                f"name it literally in `paths` to have it with mode 0600, or put it in `excludes`"
            )
        self.left_out.add(path, f"may not be read by others (mode {node.mode:04o})")
        return False

    def subtree(self) -> Tree:
        """The chosen files as a tree of their own, with the folders above them; hard links stay links."""
        result = Tree()
        for path in sorted(self.chosen):
            self._put(result, path)
        return result

    def _put(self, result: Tree, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent and parent not in result:
            folder = self.tree.get(parent)
            if folder is not None:
                result.add(parent, folder)
            parent = parent.rpartition("/")[0]
        result.add(path, self.tree[path])


def take_paths(selection: Selection, patterns: Iterable[Pattern], file: str) -> None:
    """Want what the globs of `paths` match. ConfigError with file, line and column for one that matches nothing."""
    for pattern in patterns:
        found = match(selection.tree, pattern.glob)
        literal = is_literal(pattern.glob)
        detail = pattern.glob
        if pattern.optional:
            selection.optional.add(detail)
        taken = [selection.take(path, Reason("path", "", detail), literal=literal) for path in found]
        if not any(taken) and not pattern.optional:
            cause = "everything that it matches is excluded" if found else _nearest(selection.tree, pattern.glob)
            where = pattern.where(file)
            raise ConfigError(
                f"{where}: the path {pattern.glob!r} matches nothing: {cause}, or mark it `optional: true`"
            )


def take_packages(selection: Selection, names: Mapping[str, str], files: dict[str, Iterable[str]], spec: Spec) -> None:
    """Want the files of packages, clutter left out. `names` is what smith.yaml says of each -> the package's name,
    `files` package name -> tree paths. ConfigError with file, line and column for one that is not there."""
    selection.clutter = PACKAGE_CLUTTER
    for said, name in names.items():
        if name not in files:
            known = sorted(files)
            hint = f"; it has {len(known)} packages, such as {', '.join(known[:5])}" if known else ""
            where = spec.where("package") if said == spec.package else spec.where("packages", said)
            raise ConfigError(f"{where}: no package {name!r} is there{hint}")
        before = len(selection.chosen)
        for path in sorted(files[name]):
            node = selection.tree.get(path)
            if path in PACKAGE_CLUTTER or node is None:
                continue
            selection.take(path, Reason("package", "", name), recursive=False)
        if len(selection.chosen) == before:
            selection.left_out.add(name, "the package has nothing but documentation: name those that it depends on")
    selection.clutter = None


def take_binaries(selection: Selection, path: str, spec: Spec) -> None:
    """Want programs by name, looked for along a PATH. ConfigError, with its place, for one that is not there."""
    folders = [folder.strip("/") for folder in path.split(":") if folder.startswith("/")]
    for name in spec.binaries:
        for folder in folders:
            if selection.tree.resolve(f"{folder}/{name}") is not None:
                selection.take(f"{folder}/{name}", Reason("binary", "", name), literal=True)
                break
        else:
            raise ConfigError(f"{spec.where('binaries', name)}: no program {name!r} in {path}")


def take_merged_usr(selection: Selection) -> None:
    """Want the links /bin, /sbin, /lib* of a merged /usr where what they lead to is in: programs are named by them."""
    for name in selection.tree.children(""):
        node = selection.tree[name]
        if not node.is_link or name in selection.chosen or name in selection.excludes or name not in MERGED:
            continue
        target = selection.tree.resolve(name)
        if target and any(path.startswith(f"{target}/") for path in selection.chosen):
            selection.chosen[name] = Reason("way", target)


def excludes_of(spec: Spec) -> Excludes:
    """The yaml's `excludes`."""
    return Excludes(tuple(pattern.glob for pattern in spec.excludes))


def _nearest(tree: Tree, pattern: str) -> str:
    """The longest part of a path that is there, with what it has, to correct a typing error by."""
    parts = [part for part in pattern.split("/") if part]
    there: list[str] = []
    for part in parts:
        if tree.resolve("/".join([*there, part])) is None:
            break
        there.append(part)
    real = tree.resolve("/".join(there)) or ""
    names = tree.children(real)[:6]
    return f"/{'/'.join(there)} has {', '.join(names) if names else 'nothing in it'}"
