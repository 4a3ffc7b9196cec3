"""Signatures of images at a registry: under cosign's tag `sha256-....sig`, and as the bundles of cosign 3."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocicommon import digest as digests
from ocicommon import mediatypes
from ocicommon.canonical import dumps

from smith.content import BytesContent
from smith.errors import VerificationError
from smith.registry import referrers
from smith.registry.client import Manifest, Registry
from smith.registry.download import fetch
from smith.registry.errors import NotFound, RegistryError
from smith.registry.upload import push_blob
from smith.signing import statements
from smith.signing.keys import PublicKey, SigningKey
from smith.signing.keys import sign as signature_of

_MOST = 128
_DOCUMENT_BYTES = 1 << 20


@dataclass(frozen=True)
class Signature:
    """One that holds: `form` is `simple` or `bundle`, `name` what the signer called the image (only in `simple`)."""

    form: str
    name: str = ""


def tag_of(digest: str) -> str:
    """The tag under which cosign keeps the signatures of `digest`."""
    return f"{referrers.fallback_tag(digest)}.sig"


def sign(registry: Registry, key: SigningKey) -> list[str]:
    """Sign the image that the registry's address names, of an index each of its images as well: their digests.

    Signatures that are there stay. Raises NotFound, Denied, RegistryError.
    """
    manifest = registry.manifest(registry.address.reference.version)
    signed = list(dict.fromkeys(_with_children(registry, manifest)))
    for digest in signed:
        _add(registry, key, digest)
    return signed


def _with_children(registry: Registry, manifest: Manifest) -> Iterator[str]:
    yield manifest.digest
    if manifest.media_type in mediatypes.INDEXES:
        for entry in json.loads(manifest.content).get("manifests") or []:
            child = str(entry.get("digest")) if isinstance(entry, dict) else ""
            # A signature says that the image was seen: what the index only claims to have is not signed.
            yield registry.manifest(child, expected=entry).digest


def _add(registry: Registry, key: SigningKey, digest: str) -> None:
    reference = registry.address.reference
    name = reference.name if reference.tag is None else f"{reference.name}:{reference.tag}"
    payload = statements.simple_payload(name, digest)
    layer = {
        **_pushed(registry, payload, statements.SIMPLE),
        "annotations": {statements.SIGNATURE: base64.b64encode(signature_of(key, payload)).decode()},
    }
    layers = [*_layers(registry, digest), layer]
    # An image of nothing: what cosign's own signatures have, and registries that look for images want.
    config = {
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in layers]},
    }
    made = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "config": _pushed(registry, dumps(config), mediatypes.CONFIG),
        "layers": layers,
    }
    registry.put_manifest(tag_of(digest), dumps(made), mediatypes.MANIFEST)


def _pushed(registry: Registry, data: bytes, media_type: str) -> dict[str, Any]:
    digest = digests.of(data)
    push_blob(registry, digest, BytesContent(data))
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def verified(registry: Registry, digest: str, key: PublicKey, key_name: str) -> list[Signature]:
    """The signatures of the image `digest` that the key made. Raises VerificationError if there is none."""
    seen = 0
    found: list[Signature] = []
    for layer in _layers(registry, digest)[:_MOST]:
        seen += 1
        signature = (layer.get("annotations") or {}).get(statements.SIGNATURE, "")
        name = statements.simple_name(key, _read(registry, layer), str(signature), digest)
        found += [] if name is None else [Signature("simple", name)]
    for bundle in _bundles(registry, digest):
        seen += 1
        found += [Signature("bundle")] if statements.bundle_signs(key, bundle, digest) else []
    if not found:
        some = "1 signature" if seen == 1 else f"{seen} signatures"
        said = f"has {some}, none of them by the key {key_name}" if seen else "is not signed"
        raise VerificationError(f"{registry.address.reference.with_digest(digest)}: {said}")
    return found


def _layers(registry: Registry, digest: str) -> list[dict[str, Any]]:
    """The signatures under the tag, as descriptors."""
    try:
        manifest = registry.manifest(tag_of(digest))
    except NotFound:
        return []
    layers = json.loads(manifest.content).get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise RegistryError(f"{registry.address}: the tag {tag_of(digest)} holds no signatures")
    return [layer for layer in layers if layer.get("mediaType") == statements.SIMPLE]


def _bundles(registry: Registry, digest: str) -> Iterator[bytes]:
    for entry in referrers.listed(registry, digest)[:_MOST]:
        # cosign lists its bundles as empty artifacts where the registry has no list of its own.
        if entry.get("artifactType") not in (statements.BUNDLE, mediatypes.EMPTY):
            continue
        document = json.loads(registry.manifest(str(entry["digest"]), expected=entry).content)
        for layer in document.get("layers") or []:
            if isinstance(layer, dict) and layer.get("mediaType") == statements.BUNDLE:
                yield _read(registry, layer)


def _read(registry: Registry, descriptor: dict[str, Any]) -> bytes:
    size = descriptor.get("size")
    if not isinstance(size, int) or size > _DOCUMENT_BYTES:
        raise RegistryError(f"{registry.address}: a signature of {size!r} bytes: refused")
    data = bytearray(max(0, size))

    def write(offset: int, piece: memoryview) -> None:
        data[offset : offset + len(piece)] = piece

    fetch(registry, descriptor, write)
    return bytes(data)
