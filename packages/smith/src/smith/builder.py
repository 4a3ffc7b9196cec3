"""From smith.yaml to an image: source, rootfs/, choice of files, flattening, layer, documents. Nothing is unpacked."""

import importlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smith import applications, lock, nss, presets, recipe, rules
from smith import selection as choosing
from smith import tree as t
from smith.cache import Cache
from smith.compress import name as compressor_name
from smith.elf import follow
from smith.errors import ConfigError, SmithError
from smith.flatten import Losses, flatten
from smith.hosttree import overlay
from smith.image import LAYER_TYPES, PATH, Below, Built, assemble, attach, config_of
from smith.imagefile import Image, Layer, open_image
from smith.origin import decide, split_tag, wants_package_lists
from smith.packed import pack
from smith.progress import Progress, Silent
from smith.selection import Reason, Selection
from smith.sources import Package, SourceResult
from smith.spec import Spec
from smith.tree import Node, Tree


@dataclass(slots=True)
class Report:
    """What a build did: the image, and what there is to say about it. Sizes in bytes."""

    built: Built
    spec: Spec
    platform: str
    tree: Tree
    chosen: dict[str, Reason]
    packages: list[Package]
    losses: Losses
    left_out: list[tuple[str, str]] = field(default_factory=list)
    layer_size: int = 0
    files: int = 0
    size: int = 0
    source_size: int = 0


@dataclass(slots=True)
class Prepared:
    """A build up to the choice of files: the source with rootfs/ laid over it, who it runs as, its config."""

    spec: Spec
    source: SourceResult
    selection: Selection
    who: nss.Identity
    parent: Image | None
    config: dict[str, Any]
    source_size: int

    @property
    def tree(self) -> Tree:
        return self.source.tree

    @property
    def chosen(self) -> dict[str, Reason]:
        return self.selection.chosen


def build(
    spec: Spec, cache: Cache, progress: Progress | None = None, *, threads: int | None = None, load: Any = None
) -> Report:
    """Build the image that `spec` describes, in memory and unnamed files. SmithError of the kind that fits."""
    progress = progress or Silent()
    spec = presets.expand(spec)
    origin = decide(spec)
    if origin.chosen:
        progress.note(origin.chosen)
    spec = origin.spec
    run_commands(spec.mock.pre_build, "pre-build", spec.directory)
    try:
        return _build(spec, cache, progress, threads, load or load_source)
    finally:
        run_commands(spec.mock.post_build, "post-build", spec.directory, failing=False)


def load_source(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """Load the source of a decided spec."""
    if not spec.type:
        return SourceResult(Tree(), platform=spec.platform or _own_platform())
    found = lock.find(spec)
    if found is not None:
        progress.note(f"every input as {lock.path_of(spec)} has it")
        from smith import locked

        return locked.load(spec, found, cache, progress)
    return load_fresh(spec, cache, progress)


def load_fresh(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """Load the source of a decided spec as it is today, whatever a lock file says."""
    module = importlib.import_module(f"smith.sources.{spec.type}")
    result: SourceResult = module.load(spec, cache, progress)
    return result


def run_commands(commands: Iterable[str], what: str, directory: str, *, failing: bool = True) -> None:
    """The original's pre-build and post-build: shell commands of this machine."""
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=directory, check=False)
        if done.returncode and failing:
            raise SmithError(f"{what}: {command!r} ended with {done.returncode}; nothing was built")


def prepare(spec: Spec, cache: Cache, progress: Progress, load: Any = None) -> Prepared:
    """All decisions of a build and no layer: what `smith trace` runs a program with."""
    return _prepare(decide(presets.expand(spec)).spec, cache, progress, load or load_source)


def _prepare(spec: Spec, cache: Cache, progress: Progress, load: Any) -> Prepared:
    source: SourceResult = load(spec, cache, progress)
    not_run: list[tuple[str, str]] = []
    if spec.scripts == "userns" and source.scripts:
        from smith import scripts

        not_run = scripts.run(spec, source, cache, progress)
    tree = source.tree
    source_size = sum(node.size for _, node in tree.items())
    parent = open_image(*_parent(spec), spec.platform) if spec.parent else None
    base = source.image_config or (parent.config if parent else None)
    folders = [folder for folder in (*spec.overlays, os.path.join(spec.directory, "rootfs")) if os.path.isdir(folder)]
    brought = applications.add(spec, source, cache, progress)
    laid = list(dict.fromkeys(path for folder in folders for path in overlay(tree, folder)))
    users, groups = nss.own(tree)
    who = nss.identity(spec.user, users, groups, where=f"{spec.where('user')}: user")
    chosen = choose(spec, source, laid, base)
    for path in brought:
        chosen.take(path, Reason("application", "", spec.requirements or spec.package_json), recursive=False)
    follow.complete(chosen, _library_path(spec, base), progress)
    if spec.mock.debuginfo and spec.type == "rpm":
        importlib.import_module("smith.sources.rpm.debuginfo").complete(spec, source, chosen, cache, progress)
    if spec.nss or who.named:
        kept_users, kept_groups = nss.named_by(chosen.subtree(), users, groups)
        add_nss(chosen, nss.files(who, spec.groups, kept_users, kept_groups), progress, base, spec)
    for path, text in (*rules.offers(chosen), *not_run):
        chosen.left_out.add(path, text)
    choosing.take_merged_usr(chosen)
    return Prepared(spec, source, chosen, who, parent, config_of(spec, who, source.platform, base), source_size)


def _build(spec: Spec, cache: Cache, progress: Progress, threads: int | None, load: Any) -> Report:
    prepared = _prepare(spec, cache, progress, load)
    source, chosen = prepared.source, prepared.selection
    kept = recipe.keep(chosen, source)
    result = chosen.subtree()
    for mount in spec.mounts:
        if mount.strip("/"):
            result.add(mount.strip("/"), Node(t.DIRECTORY, 0o755))
    flat, losses = flatten(result, prepared.who, secret=frozenset(chosen.secret))
    del result
    progress.note(f"{len(flat)} entries chosen of {len(prepared.tree)}")
    packed = pack(flat, spec.compression, cache, threads)
    made_by = compressor_name(spec.compression)
    built = assemble(prepared.config, packed, spec.compression, made_by, _below(prepared.parent))
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    created = int(epoch) if epoch.isdigit() else 0
    attach(built, recipe.documents(spec, source, chosen, kept, built.digest, created))
    report = Report(built, spec, source.platform, flat, chosen.chosen, kept, losses, chosen.left_out.entries)
    report.layer_size = packed.size
    report.files = sum(1 for _, node in flat.items() if node.is_file)
    report.size = sum(node.size for _, node in flat.items())
    report.source_size = prepared.source_size
    return report


def choose(spec: Spec, source: SourceResult, laid: list[str], base: Mapping[str, Any] | None) -> Selection:
    """The first choice, before needs are followed: package lists, globs, binaries, rootfs/."""
    tree = source.tree
    selection = Selection(tree, choosing.excludes_of(spec))
    for path in laid:
        selection.take(path, Reason("rootfs", "", "rootfs/"), recursive=False)
    lists = wants_package_lists(spec)
    if lists:
        files: dict[str, Iterable[str]] = {package.name: package.files for package in source.packages}
        choosing.take_packages(selection, {name: _package_name(name, source.packages) for name in lists}, files, spec)
    choosing.take_paths(selection, spec.paths, spec.file)
    path = next((e[5:] for e in (base or {}).get("config", {}).get("Env") or [] if e.startswith("PATH=")), PATH[5:])
    choosing.take_binaries(selection, path, spec)
    if spec.type in ("oci", "host") and not (lists or spec.paths or spec.binaries):
        if spec.type == "host" and not spec.package.endswith("/"):
            raise ConfigError(f"{spec.where('type')}: type host needs `packages`, `paths` or `binaries`")
        for name in tree.children(""):
            selection.take(name, Reason("image", "", spec.package))
    if lists and not selection.chosen:
        where = spec.where("packages" if spec.packages else "package")
        raise ConfigError(
            f"{where}: {', '.join(lists)}: nothing but documentation is in it: name the packages that it depends on"
        )
    return selection


def _package_name(name: str, packages: list[Package]) -> str:
    """The package that a request such as `nginx=1.22`, `nginx/stable` or `./nginx_1_amd64.deb` stands for."""
    names = {package.name for package in packages}
    plain = name.partition("=")[0].partition("/")[0] if not name.endswith((".deb", ".rpm", ".apk")) else name
    if plain in names:
        return plain
    base = os.path.basename(name)
    fitting = [each for each in names if base.startswith((f"{each}_", f"{each}-"))]
    return max(fitting, key=len) if fitting else name


def add_nss(
    selection: Selection, files: Mapping[str, bytes], progress: Progress, base: Mapping[str, Any] | None, spec: Spec
) -> None:
    """The NSS files, and the modules where this libc has them (glibc before 2.34, and dns and compat after)."""
    laid = {path for path, reason in selection.chosen.items() if reason.kind == "rootfs"}
    for path, data in files.items():
        if path in laid:
            continue
        selection.tree.remove(selection.tree.walk(path).path)
        selection.chosen.pop(path, None)
        selection.tree.add(path, t.made(data))
        selection.take(path, Reason("nss", "", "nss"))
    libraries = {path.rpartition("/")[0] for path in selection.chosen if path.endswith("/libc.so.6")}
    for folder in sorted(libraries):
        for module in nss.MODULES:
            if selection.tree.resolve(f"{folder}/{module}") is not None:
                selection.take(f"{folder}/{module}", Reason("nss", "", "nsswitch.conf"))
    follow.complete(selection, _library_path(spec, base), progress)


def _library_path(spec: Spec, base: Mapping[str, Any] | None) -> tuple[str, ...]:
    env = list((base or {}).get("config", {}).get("Env") or []) if spec.env is None else list(spec.env)
    for entry in reversed(env):
        if entry.startswith("LD_LIBRARY_PATH="):
            return tuple(part for part in entry.partition("=")[2].replace(";", ":").split(":") if part)
    return ()


def _parent(spec: Spec) -> tuple[str, str]:
    file, tag = split_tag(spec.parent)
    path = os.path.join(spec.directory, file)
    if not os.path.exists(path):
        raise ConfigError(f"{spec.where('parent')}: parent: there is no image file {path}")
    return path, tag


def _below(parent: Image | None) -> Below:
    if parent is None:
        return Below()
    return Below(
        tuple(_descriptor(layer) for layer in parent.layers),
        tuple(layer.blob for layer in parent.layers),
        tuple(layer.diff_id for layer in parent.layers),
        tuple(parent.config.get("history") or ()),
    )


def _descriptor(layer: Layer) -> dict[str, Any]:
    """A layer's descriptor; for a docker-archive, which has plain tars and no descriptors, one is made."""
    made = {"mediaType": LAYER_TYPES["none"], "digest": layer.diff_id, "size": layer.blob.size}
    return layer.descriptor or made


def _own_platform() -> str:
    from ocicommon.platform import host

    return str(host())


def with_options(spec: Spec, **changes: Any) -> Spec:
    """The spec with the command line's wishes laid over it; empty ones change nothing."""
    return replace(spec, **{name: value for name, value in changes.items() if value})
