"""Debug files for the ELF files that were kept: found by build id, with what dwz(1) moved out of them."""

from __future__ import annotations

import os

from smith.cache import Cache
from smith.elf.read import is_elf, read
from smith.errors import InputError
from smith.lock import DEBUG
from smith.progress import Progress
from smith.selection import Reason, Selection, take_paths
from smith.sources import Input, SourceResult
from smith.sources.rpm import header as h
from smith.sources.rpm import payload
from smith.sources.rpm.load import bring, open_repositories, package_of
from smith.sources.rpm.payload import open_rpm
from smith.sources.rpm.universe import Chosen, Universe
from smith.spec import Pattern, Spec

_FOLDER = "usr/lib/debug"


def build_ids(selection: Selection) -> dict[str, str]:
    """Build id (hex) -> path, for every ELF file that is chosen."""
    found = {}
    for path in list(selection.chosen):
        node = selection.tree[path]
        if node.content is None or not is_elf(node.content):
            continue
        try:
            identity = read(node.content, f"/{path}").build_id
        except InputError:
            continue
        if identity:
            found[identity] = path
    return found


def complete(spec: Spec, source: SourceResult, selection: Selection, cache: Cache, progress: Progress) -> None:
    """Bring the debug packages of what is chosen, and choose the debug files of these very files; then `debugpaths`.

    `source` and `selection` change. Files for which no repository has a debug package are told in a note.
    """
    identities = build_ids(selection)
    wanted = {identity: f"{_FOLDER}/.build-id/{identity[:2]}/{identity[2:]}.debug" for identity in identities}
    locked = [item for item in source.inputs if item.kind == DEBUG]
    chosen = [_locked(item, cache) for item in locked] or _found(spec, wanted, identities, cache, progress)
    shared = []
    for item, url, sha256 in chosen:
        package = open_rpm(cache, sha256, str(item))
        files = payload.add(selection.tree, package, item.name)
        shared += [path for path in files if path.startswith(f"{_FOLDER}/.dwz/")]
        source.packages.append(package_of(item, package, url, sha256, files))
        if not locked:
            source.inputs.append(Input(DEBUG, url, sha256, os.stat(cache.path(sha256)).st_size))
    for identity, path in wanted.items():
        if selection.tree.resolve(path) is not None:
            selection.take(path, Reason("debuginfo", identities[identity], identity))
    for path in shared:
        selection.take(path, Reason("debuginfo", "", "dwz"))
    take_paths(selection, [Pattern(glob) for glob in spec.mock.debug_paths], spec.file)


def _found(
    spec: Spec, wanted: dict[str, str], identities: dict[str, str], cache: Cache, progress: Progress
) -> list[tuple[Chosen, str, str]]:
    """The debug packages that the repositories have for these build ids, brought: each with address and digest."""
    architecture, repositories = open_repositories(spec, cache, progress)
    chosen, unknown = Universe(repositories, architecture).providing(
        {identity: (f"debuginfo(build-id) = {identity}", f"/{path}") for identity, path in wanted.items()}
    )
    for identity in unknown:
        progress.note(f"no repository has debug files for /{identities[identity]} (build id {identity})")
    return [(item, *bring(item, cache)) for item in chosen]


def _locked(item: Input, cache: Cache) -> tuple[Chosen, str, str]:
    """A debug package that the lock file names and the cache has."""
    header = open_rpm(cache, item.sha256, item.url).header
    epoch = f"{header.number(h.EPOCH)}:" if h.EPOCH in header and header.number(h.EPOCH) else ""
    evr = f"{epoch}{header.text(h.VERSION)}-{header.text(h.RELEASE)}"
    found = Chosen(
        header.text(h.NAME), evr, header.text(h.ARCH), item.url, "sha256", item.sha256, item.size,
        licence="", source_rpm="", repository=None,
    )  # fmt: skip
    return found, item.url, item.sha256
