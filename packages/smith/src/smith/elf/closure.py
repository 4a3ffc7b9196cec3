"""What ELF files need, transitively: each program is loaded as its loader would, on paper."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from smith.elf import search
from smith.elf.read import Elf, is_elf, read
from smith.elf.search import Loaded, System
from smith.errors import InputError
from smith.tree import Tree


@dataclass(frozen=True, slots=True)
class Need:
    """`path` (real path of an ELF file) asked for `name` and got what lies at `found` (as searched, links unresolved).

    `kind` is needed, interpreter, hwcaps, dlopen or filter.
    """

    path: str
    kind: str
    name: str
    found: str


@dataclass(frozen=True, slots=True)
class Missing:
    """`path` needs `name`, and it is in none of the folders searched."""

    path: str
    name: str
    kind: str = "needed"
    searched: tuple[str, ...] = ()


@dataclass(slots=True)
class Closure:
    """The result: every need met, every need not met, and the real paths of all ELF files seen."""

    needs: list[Need] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    files: dict[str, Elf] = field(default_factory=dict)
    configured_only: list[str] = field(default_factory=list)
    """Libraries that are found through ld.so.conf alone: without an ld.so.cache a loader would not see them."""

    @property
    def paths(self) -> list[str]:
        """Where all that is needed was found, sorted, as searched."""
        return sorted({need.found for need in self.needs})


class Linker:
    """One tree's loader on paper. It remembers what it has read, so that asking again is cheap."""

    def __init__(self, tree: Tree, library_path: tuple[str, ...] = ()) -> None:
        self.tree = tree
        self.library_path = library_path
        self.system = System(tree)
        self._elves: dict[str, Elf | None] = {}
        self._found: dict[tuple[str, int, int], str | None] = {}

    def elf(self, real: str) -> Elf | None:
        """The ELF file at a real path; None when it is another kind of file. InputError when it is broken."""
        if real not in self._elves:
            node = self.tree.get(real)
            if node is None or node.content is None or not is_elf(node.content):
                self._elves[real] = None
            else:
                self._elves[real] = read(node.content, f"/{real}")
        return self._elves[real]

    def names(self, real: str) -> set[str]:
        """What a loader that has loaded the ELF file at `real` meets without a search; musl's looks at no soname."""
        elf = self.elf(real)
        names = {real.rpartition("/")[2]}
        if elf is not None and elf.soname and not search.is_musl(self._as_library(elf).interpreter):
            names.add(elf.soname)
        return names

    def closure(self, roots: Iterable[str], *, provided: Iterable[str] = ()) -> Closure:
        """Load each of `roots` (tree paths) by itself. `provided` are sonames that whoever loads a plugin has already.

        What is missing for one root but is the soname of another root or need is not missing.
        """
        result = Closure()
        mains: list[str] = []
        for root in roots:
            real = self.tree.resolve(root)
            if real is not None and self.elf(real) is not None:
                mains.append(real)
        missing: dict[tuple[str, str], Missing] = {}
        seen: set[Need] = set()
        for real in dict.fromkeys(mains):
            self._load(real, result, missing, seen)
        known = set(provided)
        for path in result.files:
            known |= self.names(path)
        result.missing = [each for key, each in missing.items() if each.name not in known]
        return result

    def _load(self, real: str, result: Closure, missing: dict[tuple[str, str], Missing], seen: set[Need]) -> None:
        elf = self.elf(real)
        if elf is None:
            return
        main = Loaded(f"/{real}", real, self._as_library(elf))
        musl = search.is_musl(main.elf.interpreter)
        if not musl:
            main.names |= self.names(real)
        loaded: dict[str, Loaded] = {real: main}
        names: dict[str, Loaded] = dict.fromkeys(main.names, main)
        result.files[real] = elf

        def need(kind: str, requester: Loaded, name: str, found: str) -> None:
            entry = Need(requester.real, kind, name, found)
            if entry not in seen:
                seen.add(entry)
                result.needs.append(entry)

        if elf.interpreter:
            there = self.tree.resolve(elf.interpreter)
            if there is None:
                missing.setdefault((real, elf.interpreter), Missing(real, elf.interpreter, "interpreter"))
            else:
                need("interpreter", main, elf.interpreter, elf.interpreter)
                loader = self.elf(there)
                if loader is not None:
                    result.files[there] = loader
                    names[elf.interpreter.rpartition("/")[2]] = names[loader.soname] = Loaded(
                        elf.interpreter, there, loader, main
                    )
        pending = deque([main])
        while pending:
            requester = pending.popleft()
            wanted = [("needed", name) for name in requester.elf.needed]
            wanted += [("filter", name) for name in requester.elf.filters]
            for kind, name in wanted:
                if name in names:
                    already = names[name]
                    if already is not requester:
                        need(kind, requester, name, already.path)
                    continue
                path, extra, searched = self.find(name, requester, main)
                for variant in extra:
                    need("hwcaps", requester, name, variant)
                if path is None:
                    if kind == "needed":
                        missing.setdefault((requester.real, name), Missing(requester.real, name, kind, searched))
                    continue
                need(kind, requester, name, path)
                there = self.tree.resolve(path)
                if there is None:
                    continue
                known = loaded.get(there)
                if known is None:
                    found = self.elf(there)
                    if found is None:
                        continue
                    known = loaded[there] = Loaded(path, there, found, requester)
                    result.files[there] = found
                    pending.append(known)
                    if found.soname and not musl:
                        names.setdefault(found.soname, known)
                    if self._only_configured(path, main):
                        result.configured_only.append(path)
                # musl knows an object by the one name that a search found it by, whatever its soname is
                if not musl or not known.names:
                    names[name] = known
                    if "/" not in name:
                        known.names.add(name)

    def _as_library(self, elf: Elf) -> Elf:
        """A library looked at by itself is loaded by some program: take the loader that this libc has."""
        if elf.interpreter:
            return elf
        musl = any(name.startswith("libc.musl-") for name in elf.needed) or (
            "libc.so" in elf.needed and self.tree.resolve("lib/libc.so") is None
        )
        if not musl:
            return elf
        folder = self.tree.resolve("lib") or ""
        name = next((n for n in self.tree.children(folder) if n.startswith("ld-musl-")), "ld-musl-x86_64.so.1")
        return replace(elf, interpreter=f"/lib/{name}")

    def find(self, name: str, requester: Loaded, main: Loaded) -> tuple[str | None, list[str], tuple[str, ...]]:
        """Where `name` is found (as searched), its hwcaps variants, and the folders that were searched in vain."""
        if "/" in name:
            text = self.system.expand(name, requester) or (name,)
            return (text[0] if self._fits(text[0], main.elf) else None), [], ()
        if search.is_musl(main.elf.interpreter) and search.MUSL_OWN.fullmatch(name):
            return main.elf.interpreter, [], ()
        searched: list[str] = []
        tried: set[str] = set()
        variants: list[str] = []
        for folder, with_hwcaps in search.folders(self.system, requester, main, self.library_path):
            if folder in tried:
                continue
            tried.add(folder)
            if with_hwcaps and self._has_hwcaps(folder):
                for level in search.hwcaps(main.elf):
                    path = f"{folder}/glibc-hwcaps/{level}/{name}"
                    if self._fits(path, main.elf):
                        variants.append(path)
            if self._fits(f"{folder}/{name}", main.elf):
                return f"{folder}/{name}", variants, ()
            searched.append(folder)
        if variants:
            return variants[-1], variants[:-1], ()
        return None, [], tuple(searched)

    def locate(self, real: str, names: Iterable[str]) -> str | None:
        """Where the first of `names` that can be had is found, for a dlopen by the object at `real`."""
        elf = self.elf(real)
        if elf is None:
            return None
        main = Loaded(f"/{real}", real, self._as_library(elf))
        for name in names:
            path = self.find(name, main, main)[0]
            if path is not None:
                return path
        return None

    def _has_hwcaps(self, folder: str) -> bool:
        return self.tree.resolve(f"{folder}/glibc-hwcaps") is not None

    def _fits(self, path: str, elf: Elf) -> bool:
        key = (path, elf.machine, elf.bits)
        if key not in self._found:
            real = self.tree.resolve(path)
            try:
                found = self.elf(real) if real is not None else None
            except InputError:
                found = None
            fits = found is not None and (found.machine, found.bits) == (elf.machine, elf.bits)
            self._found[key] = real if fits else None
        return self._found[key] is not None

    def _only_configured(self, path: str, main: Loaded) -> bool:
        if search.is_musl(main.elf.interpreter):
            return False
        folder = path.rpartition("/")[0]
        if folder not in self.system.configured:
            return False
        own = {self.tree.resolve(each) for each in self.system.defaults(main.elf.interpreter, main.elf)}
        return self.tree.resolve(folder) not in own


def closure(tree: Tree, roots: Iterable[str], *, library_path: tuple[str, ...] = ()) -> Closure:
    """Everything that the ELF files at `roots` need inside `tree`, by the rules of their loaders."""
    return Linker(tree, library_path).closure(roots)
