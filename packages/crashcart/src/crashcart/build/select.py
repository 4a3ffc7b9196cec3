"""Which files of a tree of packages make the image, where they go, and how they are changed on the way. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smith.content import Content
from smith.elf.closure import Linker
from smith.sources import Package
from smith.tree import Tree

from crashcart.build import recipes, relocate
from crashcart.errors import CrashcartError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the image: a link when ``target`` is not empty, else what ``data()`` gives, with these mode bits."""

    target: str = ""
    mode: int = 0o644
    data: Callable[[], bytes] = bytes


Image = dict[str, Entry]
_NOTES = list[str]


def place(path: str) -> str:
    """Where a path of the tree is in the image: usr/bin and bin are one, and so are all library directories."""
    path = path.removeprefix("usr/")
    parts = path.split("/")
    if parts[0] in ("lib64", "lib32"):
        parts[0] = "lib"
    if parts[0] == "lib" and len(parts) > 1 and parts[1].endswith("-linux-gnu"):
        del parts[1]
    if parts[:2] == ["lib", "terminfo"]:
        parts[0] = "share"
    return "/".join(parts)


def whole(content: Content) -> bytes:
    """All bytes of a file."""
    return b"".join(content.chunks())


class Selection:
    """Files collected for an image; ``notes`` tell what was left out and why."""

    def __init__(self, tree: Tree, manuals: bool) -> None:
        self.tree = tree
        self.manuals = manuals
        self.image: Image = {}
        self.notes: _NOTES = []
        self.packages: set[str] = set()
        self._scripts: dict[str, tuple[str, int]] = {}
        self._programs: list[str] = []
        self._linker = Linker(tree)

    def add_package(self, package: Package, only: tuple[str, ...] = ()) -> bool:
        """The programs of a package and their data; with ``only`` (prefixes or paths of the image) nothing else.

        Whether there was any.
        """
        self.packages.add(package.name)
        found = False
        for path in package.files:
            there = place(path)
            if only and not any(there == one or there.startswith(one.rstrip("/") + "/") for one in only):
                continue
            if not there.startswith(("bin/", "sbin/", "lib/", "libexec/", "share/")):
                continue
            if recipes.is_excluded(there, self.manuals):
                continue
            found = self._add(path, there) or found
        if only and not found:
            raise CrashcartError(f"package {package.name} has none of {', '.join(only)}")
        return found

    def _add(self, path: str, there: str) -> bool:
        node = self.tree.get(path)
        if node is None or node.is_dir:
            return False
        real = self.tree.resolve(path)
        if node.is_link:
            if real is None:
                return False
            target = place(real)
            # A library is known by every name it has, a program by a link to its neighbour.
            if there.startswith("lib/") and real != path:
                node = self.tree[real]
            elif target != there and not recipes.is_excluded(target, self.manuals):
                self.image.setdefault(there, Entry(target=_relative(there, target)))
                if target not in self.image:
                    self._add(real, target)
                return True
        if node.content is None or real is None or there in self.image:
            return False
        content = node.content
        if self._linker.elf(real) is not None:
            name = f"/{real}"
            self.image[there] = Entry(mode=0o755, data=lambda: _relocated(whole(content), name))
            self._programs.append(real)
        elif content.read_at(0, 2) == b"#!" and node.mode & 0o111:
            self._scripts[there] = (real, node.mode)
        else:
            self.image[there] = Entry(mode=0o755 if node.mode & 0o111 else 0o644, data=lambda: whole(content))
        return True

    def close(self) -> None:
        """Add the libraries that the programs load, the loader, and the scripts whose interpreter is there."""
        closure = self._linker.closure(self._programs)
        for missing in closure.missing:
            there = place(missing.path)
            if there.startswith(("bin/", "sbin/")):
                raise CrashcartError(f"/{missing.path} needs {missing.name}, which none of the packages has")
            self.image.pop(there, None)
            self.notes.append(f"/{missing.path} is left out: it needs {missing.name}, which none of the packages has")
        for need in closure.needs:
            real = self.tree.resolve(need.found)
            if real is None or need.kind == "hwcaps":
                continue
            node = self.tree[real]
            if node.content is None:
                continue
            if node.package:
                self.packages.add(node.package)
            content = node.content
            if need.kind == "interpreter" or need.found.rpartition("/")[2].startswith("ld-linux"):
                name = f"/{real}"
                self.image["lib/ld.so"] = Entry(mode=0o755, data=lambda c=content, n=name: relocate.loader(whole(c), n))  # type: ignore[misc]
                self.image[f"lib/{need.found.rpartition('/')[2]}"] = Entry(target="ld.so")
                continue
            there = f"lib/{need.found.rpartition('/')[2]}"
            self.image[there] = Entry(mode=0o755, data=lambda c=content, n=f"/{real}": _relocated(whole(c), n))  # type: ignore[misc]
        if "bin/sh" not in self.image:
            for shell in ("bash", "busybox"):
                if f"bin/{shell}" in self.image:
                    self.image["bin/sh"] = Entry(target=shell)
                    break
        self._add_alternatives()
        has = frozenset(path[4:] for path in self.image if path.startswith("bin/"))
        for there, (real, mode) in sorted(self._scripts.items()):
            text = self.tree[real].content
            made = relocate.script(whole(text), has) if text is not None else None
            if made is None:
                self.notes.append(f"/{real} is left out: its interpreter is not in the image")
            else:
                self.image[there] = Entry(mode=mode & 0o755, data=lambda data=made: data)  # type: ignore[misc]
        self.drop_dangling()

    def _add_alternatives(self) -> None:
        """vim is vim.tiny: what a distribution decides by links in /etc/alternatives."""
        for directory in ("usr/bin", "usr/sbin"):
            for name in self.tree.children(directory):
                node = self.tree[f"{directory}/{name}"]
                if node.is_link and node.target.startswith("/etc/alternatives/"):
                    real = self.tree.resolve(f"{directory}/{name}")
                    there = f"{directory[4:]}/{name}"
                    if real is not None and (place(real) in self.image or place(real) in self._scripts):
                        self.image.setdefault(there, Entry(target=_relative(there, place(real))))

    def drop_dangling(self) -> None:
        """Links to what was left out go too."""
        while True:
            there = set(self.image)
            for path in self.image:
                while path := path.rpartition("/")[0]:
                    there.add(path)
            gone = [p for p, entry in self.image.items() if entry.target and _joined(p, entry.target) not in there]
            if not gone:
                return
            for path in gone:
                del self.image[path]


def _relocated(data: bytes, name: str) -> bytes:
    return relocate.elf(data, name) if relocate.is_elf(data) else data


def _relative(there: str, target: str) -> str:
    """The text of a link at ``there`` to ``target``, both in the image."""
    depth = there.count("/")
    same = there.rpartition("/")[0]
    if target.rpartition("/")[0] == same:
        return target.rpartition("/")[2]
    return "../" * depth + target


def _joined(path: str, target: str) -> str:
    parts = path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part:
            parts.append(part)
    return "/".join(parts)


def names_of(packages: Iterable[Package]) -> dict[str, Package]:
    """Packages by name."""
    return {package.name: package for package in packages}
