"""Reading images where they lie: an OCI archive or layout folder, a docker-archive. Every byte used is verified.

Follows the image spec's image-layout.md and `docker save`'s manifest.json.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ocicommon import mediatypes
from ocicommon import platform as platforms

from smith import layers as changesets
from smith.content import Content, FileContent, RegionContent
from smith.errors import InputError, SmithError, VerificationError
from smith.inflate import Inflated, compression_of, inflate
from smith.progress import Progress, Silent
from smith.tree import Tree

ARTIFACT = "vnd.smith.artifact"
"""The annotation of an image's descriptor that names the artifact manifest about it."""
MAX_DOCUMENT = 8 << 20
"""Bytes of the largest JSON document that is read whole."""


class Blobs(Protocol):
    """Where an image's parts are, by file name: a folder or the members of an archive."""

    what: str

    def get(self, name: str) -> Content | None: ...


@dataclass(slots=True)
class Layer:
    """One layer: `blob` as it is stored, its descriptor, the diff id that the config gives it."""

    descriptor: dict[str, Any]
    blob: Content
    diff_id: str
    what: str

    def inflate(self, advance: Callable[[int], None] | None = None) -> Inflated:
        """The layer's tar, verified against digest and diff id. VerificationError, InputError."""
        result = inflate(self.blob, self.what, advance=advance)
        wanted = self.descriptor.get("digest")
        if wanted and wanted != f"sha256:{result.outer}":
            raise VerificationError(f"{self.what}: its digest is sha256:{result.outer}, and the image says {wanted}")
        if self.diff_id != f"sha256:{result.inner}":
            raise VerificationError(
                f"{self.what}: the diff id of its tar is sha256:{result.inner}, and the config says {self.diff_id}"
            )
        return result


@dataclass(slots=True)
class Image:
    """One image, read. `digest` is its manifest's (empty for a docker-archive, which has none)."""

    what: str
    tag: str
    manifest: dict[str, Any]
    digest: str
    descriptor: dict[str, Any]
    config: dict[str, Any]
    config_bytes: bytes
    layers: list[Layer]
    blobs: Blobs
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def platform(self) -> str:
        """`os/architecture[/variant]` as the config has it."""
        parts = [self.config.get("os"), self.config.get("architecture"), self.config.get("variant")]
        return "/".join(str(part) for part in parts if part)

    def inflated(self, progress: Progress | None = None) -> Iterator[tuple[Layer, Inflated]]:
        """Each layer with its tar, in order, verified; two at a time."""
        task = (progress or Silent()).start("reading layers", sum(layer.blob.size for layer in self.layers))
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(layer.inflate, task.advance) for layer in self.layers]
            for layer, future in zip(self.layers, futures, strict=True):
                yield layer, future.result()
        task.done()

    def tree(self, progress: Progress | None = None) -> Tree:
        """The image's filesystem, all layers applied."""
        tree = Tree()
        for layer, inflated in self.inflated(progress):
            changesets.apply(tree, inflated.content, layer.what)
        return tree


def documents(image: Image) -> dict[str, bytes]:
    """Media type -> bytes of what the image's artifact manifest carries; empty for images that have none."""
    what = f"{image.what}: the artifact manifest"
    named = image.annotations.get(ARTIFACT, "").split(",")
    manifest = None
    for digest in named:
        algorithm, _, encoded = digest.partition(":")
        content = image.blobs.get(f"blobs/{algorithm}/{encoded}") if encoded.isalnum() else None
        if content is None:
            continue
        manifest, _ = document(content, what, digest)
        subject = manifest.get("subject") if isinstance(manifest, dict) else None
        if len(named) == 1 or (isinstance(subject, dict) and subject.get("digest") == image.digest):
            break
    else:
        return {}
    found = {}
    for entry in _list(manifest, "layers", what):
        media_type = _text(entry, "mediaType", what)
        found[media_type] = verified(
            blob(image.blobs, entry, media_type), f"{image.what}: {media_type}", entry["digest"]
        )
    return found


def verified(content: Content, what: str, digest: str) -> bytes:
    """A small blob, whole, verified."""
    if content.size > MAX_DOCUMENT:
        raise InputError(f"{what} is {content.size} bytes, too big for a document")
    data = content.read_at(0, content.size)
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise VerificationError(f"{what}: its digest is not {digest}")
    return data


class FolderBlobs:
    """An image layout folder."""

    def __init__(self, path: str) -> None:
        self.what = path

    def get(self, name: str) -> Content | None:
        path = Path(self.what, name)
        return FileContent(path) if path.is_file() else None


class ArchiveBlobs:
    """The members of an archive: plain, or inflated once."""

    def __init__(self, path: str) -> None:
        self.what = path
        self.tree = Tree()
        file = open(path, "rb")
        content = RegionContent(file.fileno(), 0, os.fstat(file.fileno()).st_size, file)
        changesets.load_tar(self.tree, _opened(content, path), path)

    def get(self, name: str) -> Content | None:
        walk = self.tree.walk(name)
        return walk.node.content if walk.node is not None else None


def _opened(content: Content, path: str) -> Content:
    if compression_of(content.read_at(0, 6)) == "none":
        return content
    return inflate(content, path).content


def open_blobs(path: str) -> Blobs:
    """The parts of the image file or folder at `path`. InputError when it is neither."""
    if os.path.isdir(path):
        return FolderBlobs(path)
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such image file")
    try:
        return ArchiveBlobs(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def open_image(path: str, tag: str = "", platform: str = "") -> Image:
    """The image in the file or folder at `path`.

    With no `tag`: `latest`, or the only one there is. From an index of several platforms the one that suits
    `platform` (this machine's when empty). InputError, VerificationError.
    """
    blobs = open_blobs(path)
    if blobs.get("index.json") is not None:
        return _from_layout(blobs, tag, platform)
    if blobs.get("manifest.json") is not None:
        return _from_docker(blobs, tag)
    raise InputError(f"{path}: is no image: it has neither index.json (OCI) nor manifest.json (docker)")


def document(content: Content | None, what: str, digest: str = "") -> tuple[Any, bytes]:
    """A JSON document and its bytes, verified against `digest` (`sha256:...`) when one is given."""
    if content is None:
        raise InputError(f"{what} is missing")
    if content.size > MAX_DOCUMENT:
        raise InputError(f"{what} is {content.size} bytes, too big for a document")
    data = content.read_at(0, content.size)
    if digest:
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            raise VerificationError(f"{what}: its digest is {found}, and it is asked for as {digest}")
    try:
        return json.loads(data), data
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON: {error}") from None


def blob(blobs: Blobs, descriptor: Any, what: str) -> Content:
    """The blob of a descriptor; its size is checked, its digest is left to the reader."""
    digest = _text(descriptor, "digest", what)
    algorithm, _, encoded = digest.partition(":")
    if algorithm != "sha256" or len(encoded) != 64 or not set(encoded) <= set("0123456789abcdef"):
        raise InputError(f"{blobs.what}: {what} has the digest {digest!r}; only sha256 is understood")
    content = blobs.get(f"blobs/sha256/{encoded}")
    if content is None:
        raise InputError(f"{blobs.what}: {what} ({digest}) is not in it")
    size = descriptor.get("size")
    if size != content.size:
        raise VerificationError(f"{blobs.what}: {what} is {content.size} bytes, and the image says {size}")
    return content


def _from_layout(blobs: Blobs, tag: str, platform: str) -> Image:
    index, _ = document(blobs.get("index.json"), f"{blobs.what}: index.json")
    entries = [entry for entry in _list(index, "manifests", f"{blobs.what}: index.json") if isinstance(entry, dict)]
    chosen = _choose_tag(blobs.what, entries, tag)
    descriptor = chosen
    for _ in range(4):
        what = f"{blobs.what}: manifest {descriptor.get('digest')}"
        manifest, _ = document(blob(blobs, descriptor, "the manifest"), what, descriptor["digest"])
        if not isinstance(manifest, dict):
            raise InputError(f"{what} is no manifest")
        if "manifests" not in manifest:
            break
        descriptor = _choose_platform(blobs.what, _list(manifest, "manifests", what), platform)
    else:
        raise InputError(f"{blobs.what}: its indexes are nested too deep")
    config_descriptor = manifest.get("config")
    config, config_bytes = document(
        blob(blobs, config_descriptor, "the config"), f"{blobs.what}: config", _text(config_descriptor, "digest", what)
    )
    diff_ids = _diff_ids(config, f"{blobs.what}: config")
    described = _list(manifest, "layers", what)
    if len(described) != len(diff_ids):
        raise InputError(f"{what}: {len(described)} layers, and the config has {len(diff_ids)} diff ids")
    found = [
        Layer(entry, blob(blobs, entry, f"layer {number}"), diff_id, f"{blobs.what}: layer {number}")
        for number, (entry, diff_id) in enumerate(zip(described, diff_ids, strict=True), 1)
    ]
    annotations = {str(k): str(v) for k, v in (chosen.get("annotations") or {}).items()}
    name = tag or annotations.get(mediatypes.REF_NAME, "latest")
    return Image(
        blobs.what, name, manifest, descriptor["digest"], chosen, config, config_bytes, found, blobs, annotations
    )


def _choose_tag(what: str, entries: list[dict[str, Any]], tag: str) -> dict[str, Any]:
    if not entries:
        raise InputError(f"{what}: index.json names no image")
    names = [str((entry.get("annotations") or {}).get(mediatypes.REF_NAME, "")) for entry in entries]
    for wanted in (tag,) if tag else ("latest",):
        for name, entry in zip(names, entries, strict=True):
            if name == wanted or name.endswith(f":{wanted}"):
                return entry
    if len(entries) == 1 and (not tag or not names[0]):
        return entries[0]
    known = ", ".join(sorted(filter(None, names))) or "none"
    raise InputError(f"{what}: no image in it has the tag {tag or 'latest'!r}; its tags are: {known}")


def _choose_platform(what: str, entries: list[Any], platform: str) -> dict[str, Any]:
    offered = []
    for entry in entries:
        said = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(said, dict) and said.get("os") != "unknown":
            variant = str(said.get("variant", ""))
            offered.append((platforms.normalize(str(said.get("os")), str(said.get("architecture")), variant), entry))
        elif said is None:
            offered.append((platforms.host(), entry))
    if len(offered) == 1 and not platform:
        return dict(offered[0][1])
    try:
        wanted = platforms.parse(platform) if platform else platforms.host()
    except ValueError as error:
        raise SmithError(str(error), 2) from None
    found = platforms.select(wanted, offered)
    if found is None:
        known = ", ".join(str(each) for each, _ in offered) or "none"
        raise InputError(f"{what}: nothing in it is for {wanted}; its platforms are: {known}. Choose with --platform")
    return dict(found)


def _from_docker(blobs: Blobs, tag: str) -> Image:
    what = f"{blobs.what}: manifest.json"
    entries, _ = document(blobs.get("manifest.json"), what)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{what} names no image")
    names = {name: entry for entry in entries for name in entry.get("RepoTags") or []}
    wanted = tag or "latest"
    entry = next((e for n, e in names.items() if n == wanted or n.endswith(f":{wanted}")), None)
    if entry is None:
        if len(entries) > 1 or (tag and names):
            known = ", ".join(sorted(names)) or "none"
            raise InputError(f"{what}: no image in it has the tag {wanted!r}; its tags are: {known}")
        entry = entries[0]
    name = _text(entry, "Config", what)
    config, config_bytes = document(blobs.get(name), f"{blobs.what}: {name}")
    found = []
    paths = _list(entry, "Layers", what)
    diff_ids = _diff_ids(config, f"{blobs.what}: {name}")
    if len(paths) != len(diff_ids):
        raise InputError(f"{what}: {len(paths)} layers, and the config has {len(diff_ids)} diff ids")
    for number, (path, diff_id) in enumerate(zip(paths, diff_ids, strict=True), 1):
        content = blobs.get(str(path))
        if content is None:
            raise InputError(f"{blobs.what}: layer {number} ({path}) is not in it")
        found.append(Layer({}, content, diff_id, f"{blobs.what}: layer {number}"))
    return Image(blobs.what, tag or "latest", {}, "", {}, config, config_bytes, found, blobs)


def _diff_ids(config: Any, what: str) -> list[str]:
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise InputError(f"{what}: has no rootfs.diff_ids")
    return ids


def _list(value: Any, name: str, what: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{what}: has no list `{name}`")
    return found


def _text(value: Any, name: str, what: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise InputError(f"{what}: has no `{name}`")
    return found
