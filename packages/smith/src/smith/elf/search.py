"""Where a loader looks for a library: the rules of glibc's and musl's ld.so (ld.so(8); musl's ldso/dynlink.c)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from smith.content import Content
from smith.elf.read import Elf
from smith.globs import match
from smith.tree import Tree

MUSL_DEFAULT = ("/lib", "/usr/local/lib", "/usr/lib")
MUSL_OWN = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\..*")
HWCAPS = {
    62: ("x86-64-v4", "x86-64-v3", "x86-64-v2"),
    21: ("power10", "power9"),
    22: ("z16", "z15", "z14", "z13"),
}
"""Below glibc-hwcaps/ by e_machine, best first. Which is taken depends on the processor, so all come along."""
PLATFORMS = {62: "x86_64", 183: "aarch64", 3: "i686", 40: "v7l", 243: "riscv64", 22: "z900", 21: "powerpc64le"}
TRIPLETS = {
    (62, 64): "x86_64-linux-gnu",
    (62, 32): "x86_64-linux-gnux32",
    (183, 64): "aarch64-linux-gnu",
    (3, 32): "i386-linux-gnu",
    (40, 32): "arm-linux-gnueabihf",
    (243, 64): "riscv64-linux-gnu",
    (22, 64): "s390x-linux-gnu",
    (21, 64): "powerpc64le-linux-gnu",
}
_SYSTEM_DIRS = re.compile(rb"(?:/(?:usr/)?lib[\w/.-]*/\0){2,}")


@dataclass(slots=True)
class Loaded:
    """One object in a loader's list: where it was found (`path`, as searched; `real` in the tree) and by whom."""

    path: str
    real: str
    elf: Elf
    loader: "Loaded | None" = None
    names: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return self.path.rpartition("/")[0] or "/"


class System:
    """What the tree says about its loaders: ld.so.conf, the loader's own folders, musl's path file."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._defaults: dict[str, tuple[str, ...]] = {}

    @cached_property
    def configured(self) -> tuple[str, ...]:
        """The folders of etc/ld.so.conf, in order."""
        return tuple(dict.fromkeys(self._conf("etc/ld.so.conf", 0)))

    def _conf(self, path: str, depth: int) -> Iterator[str]:
        node = self.tree.walk(path).node
        if node is None or node.content is None or node.size > 1 << 20 or depth > 8:
            return
        for raw in node.content.read_at(0, node.size).decode("utf-8", "surrogateescape").splitlines():
            line = raw.split("#", 1)[0].strip()
            if line.startswith("include") and line[7:8].isspace():
                for pattern in line.split()[1:]:
                    base = pattern if pattern.startswith("/") else f"{path.rpartition('/')[0]}/{pattern}"
                    for found in match(self.tree, base):
                        yield from self._conf(found, depth + 1)
            elif line.startswith("/"):
                yield line.split("=")[0].rstrip("/") or "/"

    def defaults(self, interpreter: str, elf: Elf) -> tuple[str, ...]:
        """The folders that a glibc loader has built in: read from its own bytes, else by the distribution's habit."""
        key = interpreter or f"{elf.machine}/{elf.bits}"
        known = self._defaults.get(key)
        if known is None:
            node = self.tree.walk(interpreter).node if interpreter else None
            found = _built_in(node.content) if node is not None and node.content is not None else ()
            known = self._defaults[key] = found or self._habit(elf)
        return known

    def _habit(self, elf: Elf) -> tuple[str, ...]:
        triplet = TRIPLETS.get((elf.machine, elf.bits), "")
        if triplet and self.tree.resolve(f"usr/lib/{triplet}") is not None:
            return (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib", "/usr/lib")
        if elf.bits == 64 and self.tree.resolve("usr/lib64") is not None:
            return ("/lib64", "/usr/lib64")
        return ("/lib", "/usr/lib")

    def musl_path(self, interpreter: str) -> tuple[str, ...]:
        """The folders of etc/ld-musl-ARCH.path, or musl's own."""
        name = interpreter.rpartition("/")[2].removesuffix(".so.1")
        node = self.tree.walk(f"etc/{name}.path").node
        if node is None or node.content is None:
            return MUSL_DEFAULT
        text = node.content.read_at(0, min(node.size, 1 << 16)).decode("utf-8", "surrogateescape")
        return tuple(part for part in re.split(r"[:\n]", text) if part)

    def lib(self, elf: Elf) -> str:
        """What $LIB stands for."""
        triplet = TRIPLETS.get((elf.machine, elf.bits), "")
        if triplet and self.tree.resolve(f"usr/lib/{triplet}") is not None:
            return f"lib/{triplet}"
        return "lib64" if elf.bits == 64 else "lib"

    def expand(self, text: str, loaded: Loaded) -> tuple[str, ...]:
        """A run path's folders, $ORIGIN, $LIB and $PLATFORM filled in; relative ones mean nothing here and go."""
        values = {
            "ORIGIN": loaded.origin,
            "LIB": self.lib(loaded.elf),
            "PLATFORM": PLATFORMS.get(loaded.elf.machine, ""),
        }
        expanded = re.sub(
            r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))",
            lambda found: values[found[1] or found[2]],
            text,
        )
        return tuple(folder for folder in expanded.split(":") if folder.startswith("/"))

    def expand_as_musl(self, text: str, loaded: Loaded) -> tuple[str, ...]:
        """As `expand`, for musl: it knows $ORIGIN alone, and a run path with any other variable counts for nothing."""
        expanded = re.sub(r"\$(?:ORIGIN|\{ORIGIN\})", lambda _: loaded.origin, text)
        return () if "$" in expanded else tuple(folder for folder in expanded.split(":") if folder.startswith("/"))


def is_musl(interpreter: str) -> bool:
    """By the loader's name."""
    return "ld-musl-" in interpreter


def folders(
    system: System, requester: Loaded, main: Loaded, library_path: tuple[str, ...]
) -> Iterator[tuple[str, bool]]:
    """Every folder that the loader looks in for what `requester` needs, in order, and whether hwcaps lie below it."""
    if is_musl(main.elf.interpreter):
        yield from ((folder, False) for folder in _musl(system, requester, main, library_path))
        return
    if requester.elf.runpath is None:
        walker: Loaded | None = requester
        seen_main = False
        while walker is not None:
            seen_main = seen_main or walker is main
            if walker.elf.rpath is not None and walker.elf.runpath is None:
                yield from ((folder, True) for folder in system.expand(walker.elf.rpath, walker))
            walker = walker.loader
        if not seen_main and main.elf.rpath is not None and main.elf.runpath is None:
            yield from ((folder, True) for folder in system.expand(main.elf.rpath, main))
    for folder in library_path:
        yield from ((each, True) for each in system.expand(folder, requester))
    if requester.elf.runpath is not None:
        yield from ((folder, True) for folder in system.expand(requester.elf.runpath, requester))
    defaults = system.defaults(main.elf.interpreter, main.elf)
    if requester.elf.nodeflib:
        yield from ((folder, True) for folder in system.configured if folder not in defaults)
        return
    yield from ((folder, True) for folder in system.configured)
    yield from ((folder, True) for folder in defaults)


def _musl(system: System, requester: Loaded, main: Loaded, library_path: tuple[str, ...]) -> Iterator[str]:
    yield from library_path
    walker: Loaded | None = requester
    while walker is not None:
        text = walker.elf.runpath if walker.elf.runpath is not None else walker.elf.rpath
        if text is not None:
            yield from system.expand_as_musl(text, walker)
        walker = walker.loader
    yield from system.musl_path(main.elf.interpreter)


def hwcaps(elf: Elf) -> tuple[str, ...]:
    """The names below a folder's glibc-hwcaps/ for this machine."""
    return HWCAPS.get(elf.machine, ())


def _built_in(content: Content) -> tuple[str, ...]:
    if content.size > 16 << 20:
        return ()
    best: tuple[str, ...] = ()
    for found in _SYSTEM_DIRS.finditer(content.read_at(0, content.size)):
        names = tuple(part.decode().rstrip("/") for part in found[0].split(b"\0") if part)
        if len(names) > len(best):
            best = names
    return best
