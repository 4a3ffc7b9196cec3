"""Images from an OCI archive, a layout folder or a docker-archive to a registry."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocicommon import digest as digests
from ocicommon import mediatypes
from ocicommon import reference as references
from ocicommon.canonical import dumps
from ocicommon.errors import InvalidReference
from ocicommon.reference import Reference

from smith.content import BytesContent, Content
from smith.errors import InputError, UsageError
from smith.image import ARTIFACT
from smith.imagefile import Blobs, blob, document, open_blobs, open_image
from smith.progress import Progress, Silent
from smith.registry import referrers
from smith.registry.address import Address
from smith.registry.client import Options, Registry, open_registry
from smith.registry.pull import in_parallel
from smith.registry.upload import push_blob

_DEPTH = 4


@dataclass
class Parcel:
    """What is to be sent, in the order in which a registry takes it: blobs, then manifests, children before parents."""

    blobs: dict[str, Content] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    artifacts: list[tuple[bytes, str]] = field(default_factory=list)
    base_name: str = ""
    sent_as: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digest of a manifest in the file -> its descriptor at the registry: Docker's media types make it another one."""

    @property
    def size(self) -> int:
        """Bytes of the blobs."""
        return sum(content.size for content in self.blobs.values())


@dataclass(frozen=True)
class Pushed:
    """What was pushed: the reference with its digest, the descriptor, and how each blob got there."""

    reference: str
    descriptor: dict[str, Any]
    blobs: dict[str, str]


def push(
    path: str | os.PathLike[str],
    target: str | Address | Reference,
    *,
    tag: str = "",
    docker: bool = False,
    mount_from: Sequence[str] = (),
    chunk: int = 0,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """The image in the file or folder `path` (`tag` tells which, if it holds several) to `target`.

    With `docker` its media types become Docker's, as they always do for Docker Hub. Blobs are mounted from the
    repositories `mount_from` of the same registry where they are there. Raises UsageError, InputError, Denied,
    Mismatch, RegistryError.
    """
    progress = progress or Silent()
    with open_registry(target, options) as registry:
        reference = registry.address.reference
        docker = docker or reference.host == references.DOCKER_HUB
        parcel = pack(os.fspath(path), tag, docker)
        version = reference.tag or reference.digest or "latest"
        if reference.digest not in (None, parcel.top["digest"]):
            raise UsageError(f"{path}: its image has the digest {parcel.top['digest']}, not {reference.digest}")
        sources = list(dict.fromkeys([*mount_from, *_base_repository(parcel, reference)]))
        task = progress.start(f"pushing {reference.familiar()}", parcel.size)
        try:
            outcomes = _send_blobs(registry, parcel, sources, chunk, task.advance)
        finally:
            task.done()
        for digest, (content, media_type) in parcel.manifests.items():
            registry.put_manifest(version if digest == parcel.top["digest"] else digest, content, media_type)
        for content, media_type in parcel.artifacts:
            described = {"mediaType": media_type, "digest": digests.of(content), "size": len(content)}
            referrers.push(registry, content, media_type, described)
        named = reference.with_digest(parcel.top["digest"])
        return Pushed(str(named), parcel.top, outcomes)


def _base_repository(parcel: Parcel, reference: Reference) -> list[str]:
    """The repository of the image that this one says it was built on, if it is at the same registry."""
    try:
        base = references.parse(parcel.base_name)
    except InvalidReference:
        return []
    return [base.path] if base.host == reference.host and base.path != reference.path else []


def _send_blobs(
    registry: Registry, parcel: Parcel, sources: list[str], chunk: int, advance: Callable[[int], None]
) -> dict[str, str]:
    outcomes: dict[str, str] = {}

    def one(digest: str) -> None:
        outcomes[digest] = push_blob(
            registry, digest, parcel.blobs[digest], mount_from=sources, chunk=chunk, advance=advance
        )

    in_parallel(registry, one, list(parcel.blobs))
    return {digest: outcomes[digest] for digest in parcel.blobs}


def pack(path: str, tag: str = "", docker: bool = False) -> Parcel:
    """What has to be sent for the image in `path`. Raises InputError, VerificationError."""
    blobs = open_blobs(path)
    if blobs.get("index.json") is None:
        return _from_docker(path, tag, docker)
    index, _ = document(blobs.get("index.json"), f"{path}: index.json")
    entry = _entry(index, path, tag)
    parcel = Parcel()
    parcel.top = _add(parcel, blobs, entry, docker, _DEPTH)
    named = (entry.get("annotations") or {}).get(ARTIFACT)
    for digest in named.split(",") if isinstance(named, str) else ():
        _add_artifact(parcel, blobs, digest)
    return parcel


def _entry(index: Any, path: str, tag: str) -> dict[str, Any]:
    listed = index.get("manifests") if isinstance(index, dict) else None
    entries: list[dict[str, Any]] = [entry for entry in listed or [] if isinstance(entry, dict)]
    names = [str((entry.get("annotations") or {}).get(mediatypes.REF_NAME, "")) for entry in entries]
    for entry, name in zip(entries, names, strict=True):
        if name == (tag or "latest") or name.endswith(f":{tag or 'latest'}"):
            return entry
    if len(entries) == 1 and not tag:
        return entries[0]
    known = ", ".join(filter(None, names)) or "none"
    raise InputError(f"{path}: has no image with the tag {tag or 'latest'!r}; its tags are: {known}")


def _add(parcel: Parcel, blobs: Blobs, descriptor: dict[str, Any], docker: bool, depth: int) -> dict[str, Any]:
    """Adds a manifest and what it names; its descriptor as it is sent, which conversion changes."""
    if not depth:
        raise InputError(f"{blobs.what}: its indexes are nested too deep")
    what = f"manifest {descriptor.get('digest')}"
    content = blob(blobs, descriptor, what)
    manifest, data = document(content, f"{blobs.what}: {what}", str(descriptor["digest"]))
    if not isinstance(manifest, dict):
        raise InputError(f"{blobs.what}: {what} is no manifest")
    children = manifest.get("manifests")
    if isinstance(children, list):
        sent = [_add(parcel, blobs, child, docker, depth - 1) for child in children]
        if docker:
            manifest, data = _docker_manifest({**manifest, "manifests": sent}, mediatypes.DOCKER_INDEX)
    else:
        for number, part in enumerate([manifest.get("config"), *(manifest.get("layers") or [])]):
            parcel.blobs[str((part or {}).get("digest"))] = blob(blobs, part, f"layer {number}" if number else "config")
        parcel.base_name = parcel.base_name or str((manifest.get("annotations") or {}).get(mediatypes.BASE_NAME, ""))
        if docker and not manifest.get("artifactType"):
            manifest, data = _docker_manifest(manifest, mediatypes.DOCKER_MANIFEST)
    default = mediatypes.INDEX if isinstance(children, list) else mediatypes.MANIFEST
    kind = str(manifest.get("mediaType") or descriptor.get("mediaType") or default)
    sent_as: dict[str, Any] = {"mediaType": kind, "digest": digests.of(data), "size": len(data)}
    parcel.manifests[sent_as["digest"]] = (data, kind)
    parcel.sent_as[str(descriptor["digest"])] = sent_as
    return sent_as | {key: descriptor[key] for key in ("platform", "annotations") if key in descriptor}


def _docker_manifest(manifest: dict[str, Any], media_type: str) -> tuple[dict[str, Any], bytes]:
    """The same manifest in Docker's media types."""

    def part(descriptor: dict[str, Any]) -> dict[str, Any]:
        kind = descriptor.get("mediaType")
        return {**descriptor, "mediaType": mediatypes.TO_DOCKER.get(str(kind), kind)}

    made: dict[str, Any] = {**manifest, "mediaType": media_type}
    if "config" in made:
        made["config"] = part(made["config"])
        made["layers"] = [part(layer) for layer in made["layers"]]
    return made, dumps(made)


def _add_artifact(parcel: Parcel, blobs: Blobs, digest: str) -> None:
    content = blobs.get(f"blobs/{digest.replace(':', '/', 1)}") if digest.startswith("sha256:") else None
    manifest, data = document(content, f"{blobs.what}: the artifact manifest {digest}", digest)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("subject"), dict):
        raise InputError(f"{blobs.what}: the artifact manifest {digest} is about nothing")
    for number, part in enumerate([manifest.get("config"), *(manifest.get("layers") or [])]):
        parcel.blobs[str((part or {}).get("digest"))] = blob(blobs, part, f"document {number}")
    sent = parcel.sent_as.get(str(manifest["subject"].get("digest")), parcel.top)
    if manifest["subject"].get("digest") != sent["digest"]:
        # The image's media types were changed on the way, and with them its digest.
        manifest["subject"] = {key: sent[key] for key in ("mediaType", "digest", "size")}
        data = dumps(manifest)
    parcel.artifacts.append((data, mediatypes.MANIFEST))


def _from_docker(path: str, tag: str, docker: bool) -> Parcel:
    """The image of a docker-archive, whose manifest has to be made; its layers stay as they are."""
    image = open_image(path, tag)
    parcel = Parcel()

    def described(content: Content, media_type: str) -> dict[str, Any]:
        digest = f"sha256:{content.sha256}"
        parcel.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": content.size}

    def layer_type(content: Content) -> str:
        return mediatypes.LAYER_GZIP if content.read_at(0, 2) == b"\x1f\x8b" else mediatypes.LAYER_TAR

    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "config": described(BytesContent(image.config_bytes), mediatypes.CONFIG),
        "layers": [described(layer.blob, layer_type(layer.blob)) for layer in image.layers],
    }
    data = dumps(manifest)
    if docker:
        manifest, data = _docker_manifest(manifest, mediatypes.DOCKER_MANIFEST)
    parcel.top = {"mediaType": manifest["mediaType"], "digest": digests.of(data), "size": len(data)}
    parcel.manifests[parcel.top["digest"]] = (data, manifest["mediaType"])
    return parcel
