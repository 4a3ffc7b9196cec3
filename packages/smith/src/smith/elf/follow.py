"""From the files chosen to all that they need: interpreters, libraries, dlopen notes, and the rules of languages."""

from collections.abc import Iterable

from smith import rules
from smith.elf import cachefile
from smith.elf.closure import Linker, Missing
from smith.errors import SmithError
from smith.progress import Progress
from smith.selection import Reason, Selection
from smith.tree import made

CACHE = "etc/ld.so.cache"
PLUGIN_SOURCES = ("package", "image", "rule")


def complete(selection: Selection, library_path: tuple[str, ...], progress: Progress) -> None:
    """Take everything that the chosen files need, until nothing new comes. SmithError for libraries that are missing.

    A plugin (an ELF file without an interpreter) that came with a package's list and lacks a library is reported
    and not refused: no program may ever load it.
    """
    linker = Linker(selection.tree, library_path)
    task = progress.start("following dependencies")
    covered: set[str] = set()
    missing: dict[tuple[str, str], Missing] = {}
    while selection.fresh:
        fresh = list(selection.fresh)
        selection.fresh.clear()
        task.advance(len(fresh))
        roots = [path for path in fresh if path not in covered and linker.elf(path) is not None]
        result = linker.closure(roots)
        for need in result.needs:
            selection.take(need.found, Reason(need.kind, need.path, need.name))
        for path in result.configured_only:
            selection.through_cache.add(path)
        covered.update(result.files)
        covered.update(roots)
        for each in result.missing:
            missing[each.path, each.name] = each
        for path in result.files:
            _notes(selection, linker, path, library_path)
        for path in fresh:
            if linker.elf(path) is None:
                _script(selection, path)
        rules.apply(selection)
    task.done()
    _write_cache(selection, linker)
    _judge(selection, linker, missing.values())


def _write_cache(selection: Selection, linker: Linker) -> None:
    """An ld.so.cache, when a library is found through ld.so.conf alone and the loader is glibc's."""
    if not selection.through_cache or CACHE in selection.excludes:
        return
    found = []
    for folder in linker.system.configured:
        real = selection.tree.resolve(folder)
        for name in selection.tree.children(real) if real is not None else ():
            end = selection.tree.resolve(f"{folder}/{name}")
            elf = linker.elf(end) if end is not None and end in selection.chosen else None
            if elf is not None and ".so" in name and (f"{real}/{name}" in selection.chosen or end == f"{real}/{name}"):
                found.append((name, f"{folder}/{name}", elf.machine, elf.bits))
    selection.tree.remove(CACHE)
    selection.tree.add(CACHE, made(cachefile.write(found)))
    selection.chosen[CACHE] = Reason("cache", next(iter(sorted(selection.through_cache))).strip("/"))


def _notes(selection: Selection, linker: Linker, path: str, library_path: tuple[str, ...]) -> None:
    elf = linker.elf(path)
    if elf is None or path in selection.noted:
        return
    selection.noted.add(path)
    for note in elf.dlopen:
        found = linker.locate(path, note.sonames)
        if found:
            selection.take(found, Reason("dlopen", path, "|".join(note.sonames)))
        elif note.priority == "required":
            raise SmithError(
                f"/{path} loads {' or '.join(note.sonames)} at run time ({note.feature or 'required'}), and it is "
                f"not there: add the package that has it"
            )
        else:
            selection.left_out.add(note.sonames[0], f"/{path} may load it ({note.feature or note.priority}); not there")


def _script(selection: Selection, path: str) -> None:
    node = selection.tree.get(path)
    if node is None or node.content is None or not node.mode & 0o111:
        return
    head = node.content.read_at(0, 256)
    if not head.startswith(b"#!"):
        return
    words = head[2:].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").split()
    if not words or not words[0].startswith("/"):
        return
    wanted = [words[0]]
    if words[0].endswith("/env"):
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        if names:
            folders = ("usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin")
            places = (f"{folder}/{names[0]}" for folder in folders)
            wanted.append(next((p for p in places if selection.tree.resolve(p) is not None), f"/usr/bin/{names[0]}"))
    for interpreter in wanted:
        if selection.tree.resolve(interpreter) is None:
            selection.left_out.add(interpreter.strip("/"), f"the script /{path} wants it, and it is not there")
        else:
            selection.take(interpreter, Reason("shebang", path, words[0]))


def _judge(selection: Selection, linker: Linker, missing: Iterable[Missing]) -> None:
    known: set[str] = set()
    for path in selection.chosen:
        if linker.elf(path) is not None:
            known |= linker.names(path)
    lacking: list[Missing] = []
    for each in missing:
        name = each.name
        if name.rpartition("/")[2] in known or _excluded(selection, each):
            continue
        elf = linker.elf(each.path)
        reason = selection.chosen.get(each.path)
        plugin = elf is not None and not elf.interpreter
        if plugin and reason is not None and reason.kind in PLUGIN_SOURCES:
            selection.left_out.add(name, f"/{each.path} needs it, and it is not there")
        elif reason is not None and reason.detail in selection.optional:
            selection.left_out.add(name, f"/{each.path}, which is optional, needs it")
        else:
            lacking.append(each)
    if lacking:
        first = lacking[0]
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        places = f"; looked in {', '.join(first.searched)}" if first.searched else ""
        raise SmithError(
            f"/{first.path} needs {first.name}, and it is not there{more}{places}: add the package that has it, "
            f"set LD_LIBRARY_PATH in `env`, or put it in `excludes`"
        )


def _excluded(selection: Selection, each: Missing) -> bool:
    if each.name.strip("/") in selection.excludes:
        return True
    return any(f"{folder.strip('/')}/{each.name}" in selection.excludes for folder in each.searched)
