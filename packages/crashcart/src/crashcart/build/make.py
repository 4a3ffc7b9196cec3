"""From names of packages to an image: smith's pipeline with two other last steps, relocate and pack."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from smith.cache import Cache
from smith.errors import SmithError
from smith.progress import Progress
from smith.sources import Package, SourceResult, deb
from smith.spec import Repository, Spec

from crashcart import trailer
from crashcart.build import generated, pack, recipes
from crashcart.build.select import Selection, names_of
from crashcart.errors import CrashcartError

# How smith begins to say that it got no index at all.
_NOBODY = "no package source answers"
DESCRIPTION = ".crashcart.json"


@dataclass(slots=True)
class Order:
    """What to build. ``platform`` is ``os/arch``; it and ``repositories`` are this machine's when empty.
    With ``offline`` nothing is asked: what was fetched before must do."""

    output: str
    recipe: recipes.Recipe
    format: str = "erofs"
    platform: str = ""
    manuals: bool = True
    offline: bool = False
    repositories: tuple[Repository, ...] = ()
    directory: str = "."


@dataclass(slots=True)
class Built:
    """What came of it: sizes in bytes, ``document`` as the image describes itself."""

    output: str
    size: int
    unpacked: int
    files: int
    document: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def recipe(preset: str, packages: Iterable[str]) -> recipes.Recipe:
    """The recipe of a preset, or of packages named; CrashcartError for a preset that does not exist."""
    named = [recipes.ALIASES.get(name, name) for name in packages]
    if named:
        return dict.fromkeys(named, ())
    if preset not in recipes.PRESETS:
        raise CrashcartError(f"no preset '{preset}': there are {', '.join(recipes.PRESETS)}", 2)
    return recipes.PRESETS[preset]


def build(order: Order, cache: Cache, progress: Progress) -> Built:
    """Build; the output appears whole or not at all. CrashcartError or SmithError, each one sentence."""
    if order.format not in pack.FORMATS:
        raise CrashcartError(f"no format '{order.format}': there are {', '.join(pack.FORMATS)}", 2)
    output = Path(order.output)
    if not output.parent.is_dir():
        raise CrashcartError(f"cannot write {output}: {output.parent} is no directory")
    data = list(dict.fromkeys(need for name in order.recipe for need in recipes.NEEDS.get(name, ())))
    wanted = tuple(dict.fromkeys([*order.recipe, *data]))
    spec = Spec(
        type="deb",
        packages=wanted,
        platform=order.platform,
        repositories=order.repositories,
        directory=order.directory,
        fast=order.offline,
    )
    source = _load(spec, cache, progress)
    selection = select(source, order, data)
    document = describe(source, selection, order.format)
    with tempfile.TemporaryDirectory(prefix=".crashcart-build-", dir=output.parent) as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        unpacked = pack.write(selection.image, root)
        made = Path(scratch) / "image"
        pack.pack(root, made, order.format)
        trailer.append(str(made), document)
        mask = os.umask(0)
        os.umask(mask)
        made.chmod(0o666 & ~mask)
        os.replace(made, output)
    size = output.stat().st_size
    return Built(str(output), size, unpacked, len(selection.image), document, selection.notes)


def _load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The packages; where no source answers, those of which was heard last. SmithError."""
    try:
        return deb.load(spec, cache, progress)
    except SmithError as error:
        if spec.fast or not str(error).startswith(_NOBODY):
            raise
        progress.note(f"{error}; what they said last is taken")
        try:
            return deb.load(replace(spec, fast=True), cache, progress)
        except SmithError:
            raise error from None


def select(source: SourceResult, order: Order, data: list[str]) -> Selection:
    """The files of the image, with those that no package brings."""
    packages = names_of(source.packages)
    manuals = order.manuals and "man-db" in order.recipe
    selection = Selection(source.tree, manuals)
    for name, only in order.recipe.items():
        plain = name.split("=")[0].split("/")[0]
        if plain not in packages:
            raise CrashcartError(f"package {plain} was not among those loaded: name a real package, not a virtual one")
        if not selection.add_package(packages[plain], only) and plain in recipes.SUCCESSORS:
            _add_successor(selection, packages, recipes.SUCCESSORS[plain])
    for name in data:
        only = recipes.DATA[name]
        if only and name in packages:
            selection.add_package(packages[name], only)
        elif name in packages:
            selection.packages.add(name)
    selection.close()
    generated.add(selection.image, source.tree)
    selection.drop_dangling()
    return selection


def _add_successor(selection: Selection, packages: dict[str, Package], name: str) -> None:
    """The package that came in for one without programs, and the library of the Python that it holds."""
    if name in packages:
        selection.add_package(packages[name])
        for library in packages:
            if library.startswith("libpython3.") and library.endswith(("-minimal", "-stdlib")):
                selection.add_package(packages[library])


def describe(source: SourceResult, selection: Selection, kind: str) -> dict[str, Any]:
    """The document of the image, and a copy of it inside for whoever is there."""
    used = [one for one in source.packages if one.name in selection.packages]
    document: dict[str, Any] = {
        "crashcart": trailer.VERSION,
        "architecture": source.platform.partition("/")[2],
        "format": kind,
        "packages": [_package(one) for one in sorted(used, key=lambda one: one.name)],
    }
    import json

    from crashcart.build.select import Entry

    text = json.dumps({"crashcart": trailer.VERSION, "packages": document["packages"]}, indent=1, sort_keys=True)
    selection.image[DESCRIPTION] = Entry(data=lambda: text.encode() + b"\n")
    return document


def _package(one: Package) -> dict[str, str]:
    return {
        "name": one.name,
        "version": one.version,
        "architecture": one.arch,
        "licence": one.licence,
        "source": one.source,
        "sha256": one.sha256,
    }
