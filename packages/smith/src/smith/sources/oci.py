"""`type: oci`: an image file or folder, a container engine's store, or a registry, as a tree."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace

from smith import imagefile, installed, recipe
from smith.cache import Cache
from smith.errors import ConfigError, MissingToolError, SmithError
from smith.imagefile import Image, open_image
from smith.origin import split_tag
from smith.progress import Progress
from smith.sources import Input, Package, SourceResult
from smith.spec import Spec

STORES = {
    "docker-daemon:": ("docker", "save", "--output"),
    "containers-storage:": ("podman", "save", "--format", "oci-archive", "--output"),
}


def load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The image that `package` names. InputError, VerificationError, ConfigError, MissingToolError."""
    return load_image(fetch(spec, cache, progress), progress)


def load_image(image: Image, progress: Progress) -> SourceResult:
    """An opened image as a source: its tree, packages, config and the digests of what was read."""
    tree = image.tree(progress)
    found = _with_links(image, installed.packages(tree))
    installed.own_files(tree, found)
    inputs = []
    if image.digest:
        inputs.append(Input("image", image.what, image.digest.removeprefix("sha256:")))
    for layer in image.layers:
        digest = str(layer.descriptor.get("digest") or layer.diff_id).removeprefix("sha256:")
        inputs.append(Input("layer", image.what, digest, layer.blob.size))
    return SourceResult(tree, found, inputs, image.config, image.platform)


def _with_links(image: Image, packages: list[Package]) -> list[Package]:
    """smith's own images list symlinks by their reasons alone: a stripped dpkg database has checksums of files only."""
    raw = json.loads(imagefile.documents(image).get(recipe.REASONS_TYPE, b"{}"))
    owned: dict[str, set[str]] = {}
    for path, reason in raw.items() if isinstance(raw, dict) else ():
        if isinstance(reason, dict) and reason.get("package"):
            owned.setdefault(str(reason["package"]), set()).add(path)
    return [
        replace(package, files=tuple(sorted({*package.files, *owned.get(package.name, ())}))) for package in packages
    ]


def fetch(spec: Spec, cache: Cache, progress: Progress) -> Image:
    """The image, wherever it is."""
    name = spec.package
    for prefix, command in STORES.items():
        if name.startswith(prefix):
            return from_store(name.removeprefix(prefix), command, spec.platform, progress)
    if name.startswith(("https://", "http://")):
        return from_registry(name, spec.platform, spec.insecure, progress)
    file, tag = split_tag(name)
    path = os.path.join(spec.directory, file)
    if os.path.exists(path):
        return open_image(path, tag, spec.platform)
    if re.search(r"\.(tar|tar\.gz|tgz|tar\.zst)$", file) or ("/" not in name and "." in name):
        raise ConfigError(f"{spec.where('package')}: package: there is no image file {path}")
    return from_registry(name, spec.platform, spec.insecure, progress)


def from_store(name: str, command: tuple[str, ...], platform: str, progress: Progress) -> Image:
    """An image of docker's or podman's store, by the engine's own `save`."""
    if shutil.which(command[0]) is None:
        raise MissingToolError(f"{command[0]} is not installed, and {name!r} is in its store: name a file instead")
    with tempfile.TemporaryDirectory(prefix="smith-") as folder:
        path = os.path.join(folder, "image.tar")
        task = progress.start(f"{command[0]} save {name}")
        done = subprocess.run([*command, path, name], capture_output=True, text=True, check=False)
        task.done()
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise SmithError(f"{' '.join(command[:2])} {name}: {lines[-1]}")
        return open_image(path, platform=platform)


def from_registry(name: str, platform: str, insecure: bool, progress: Progress) -> Image:
    """An image of a registry, by way of an archive that has no name any more once it is open."""
    from smith.registry.client import Options
    from smith.registry.pull import pull

    with tempfile.TemporaryDirectory(prefix="smith-") as folder:
        path = os.path.join(folder, "image.tar")
        pull(name, path, platform=platform or None, options=Options(insecure=insecure), progress=progress)
        return open_image(path, platform=platform)
