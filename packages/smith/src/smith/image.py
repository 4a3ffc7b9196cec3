"""The documents of an image: config, manifest, the artifact manifest beside it. Pure: bytes out, nothing written."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocicommon import mediatypes
from ocicommon.canonical import dumps

from smith.compress import Packed
from smith.content import BytesContent, Content
from smith.imagefile import ARTIFACT as ARTIFACT
from smith.nss import Identity
from smith.spec import Spec

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPRESSION = "vnd.smith.compression"
ARTIFACT_TYPE = "application/vnd.smith.provenance.v1"
LAYER_TYPES = {
    "gzip": mediatypes.LAYER_GZIP,
    "zstd": mediatypes.LAYER_ZSTD,
    "none": mediatypes.LAYER_TAR,
}


@dataclass(slots=True)
class Built:
    """An image ready to be written: its blobs by digest, and the descriptor that an index gives it."""

    descriptor: dict[str, Any]
    manifest: dict[str, Any]
    config: dict[str, Any]
    blobs: dict[str, Content] = field(default_factory=dict)
    artifact: dict[str, Any] | None = None

    @property
    def digest(self) -> str:
        return str(self.descriptor["digest"])

    def add(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a document, and give its descriptor."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = BytesContent(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}


@dataclass(frozen=True, slots=True)
class Below:
    """What lies below the new layer: a parent's layers as they are."""

    descriptors: tuple[dict[str, Any], ...] = ()
    contents: tuple[Content, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()


def config_of(spec: Spec, who: Identity, platform: str, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The image's config without its rootfs: the yaml's words, and the base image's where it is silent."""
    inner = dict((base or {}).get("config") or {})
    run: dict[str, Any] = {"User": f"{who.uid}:{who.gid}"}
    if spec.root:
        run["User"] = "0:0"
    ports = {_port(port): {} for port in spec.ports} if spec.ports is not None else inner.get("ExposedPorts")
    if ports:
        run["ExposedPorts"] = ports
    env = list(spec.env) if spec.env is not None else list(inner.get("Env") or [])
    if not any(entry.startswith("PATH=") for entry in env):
        env.insert(0, PATH)
    run["Env"] = env
    entrypoint = list(spec.entrypoint) if spec.entrypoint is not None else inner.get("Entrypoint")
    if entrypoint:
        run["Entrypoint"] = entrypoint
    cmd = list(spec.cmd) if spec.cmd is not None else inner.get("Cmd")
    if cmd:
        run["Cmd"] = cmd
    if spec.mounts:
        run["Volumes"] = {"/" + mount.strip("/"): {} for mount in spec.mounts}
    directory = spec.dir or inner.get("WorkingDir")
    if directory:
        run["WorkingDir"] = directory
    labels = dict(spec.labels) if spec.labels is not None else inner.get("Labels")
    if labels:
        run["Labels"] = labels
    system, architecture, *variant = platform.split("/")
    config: dict[str, Any] = {"created": EPOCH, "architecture": architecture, "os": system, "config": run}
    if variant:
        config["variant"] = variant[0]
    return config


def combine(images: Sequence[Built]) -> Built:
    """One image index of several images, by platform; nothing of a build's time or order is in its digest.

    The artifact manifests of all are named, with commas, by one annotation on the descriptor of the index.
    """
    inner = [{key: value for key, value in each.descriptor.items() if key != "annotations"} for each in images]
    inner.sort(key=lambda each: dumps(each["platform"]))
    index = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": inner}
    built = Built({}, index, {}, {digest: content for each in images for digest, content in each.blobs.items()})
    built.descriptor = built.add(dumps(index), mediatypes.INDEX)
    named = sorted(each.artifact["digest"] for each in images if each.artifact)
    if named:
        built.descriptor["annotations"] = {ARTIFACT: ",".join(named)}
    return built


def _port(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def assemble(config: dict[str, Any], packed: Packed | None, kind: str, made_by: str, below: Below = Below()) -> Built:
    """Manifest and config over the layers: those below, and the new one unless it is one of them already."""
    built = Built({}, {}, config)
    layers = list(below.descriptors)
    diff_ids = list(below.diff_ids)
    history = list(below.history)
    for descriptor, content in zip(below.descriptors, below.contents, strict=True):
        built.blobs[descriptor["digest"]] = content
    if packed is not None and packed.diff_id not in diff_ids:
        built.blobs[packed.digest] = packed.content
        layers.append({"mediaType": LAYER_TYPES[kind], "digest": packed.digest, "size": packed.size})
        diff_ids.append(packed.diff_id)
        history.append({"created": EPOCH, "created_by": "smith"})
    config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    config["history"] = history
    built.manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "config": built.add(dumps(config), mediatypes.CONFIG),
        "layers": layers,
        "annotations": {COMPRESSION: made_by},
    }
    system = {key: config[key] for key in ("os", "architecture", "variant") if key in config}
    built.descriptor = built.add(dumps(built.manifest), mediatypes.MANIFEST, platform=system)
    return built


def attach(built: Built, documents: Mapping[str, bytes]) -> None:
    """Put documents (media type -> bytes) into one artifact manifest about the image, and name it at the image."""
    subject = {key: built.descriptor[key] for key in ("mediaType", "digest", "size")}
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": built.add(mediatypes.EMPTY_JSON, mediatypes.EMPTY),
        "layers": [built.add(data, media_type) for media_type, data in sorted(documents.items())],
        "subject": subject,
    }
    built.artifact = built.add(dumps(manifest), mediatypes.MANIFEST)
    annotations = dict(built.descriptor.get("annotations") or {})
    annotations[ARTIFACT] = built.artifact["digest"]
    built.descriptor["annotations"] = annotations
