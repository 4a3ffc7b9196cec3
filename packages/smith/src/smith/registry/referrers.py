"""Manifests that are about another: the referrers list, and its tag for registries without one (distribution 1.1)."""

import json
import re
from typing import Any

from ocicommon import mediatypes
from ocicommon.canonical import dumps

from smith.registry.address import origin, shown
from smith.registry.client import MANIFEST_BYTES, Registry
from smith.registry.errors import NotFound, RegistryError

_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?', re.ASCII)
_PAGES = 100


def fallback_tag(digest: str) -> str:
    """The tag whose index lists the referrers of `digest` where a registry does not."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def listed(registry: Registry, digest: str, artifact_type: str | None = None) -> list[dict[str, Any]]:
    """Descriptors of the manifests whose subject is `digest`, of one artifact type if given. Raises RegistryError."""
    found: list[dict[str, Any]] = []
    url = registry.url(f"referrers/{digest}")
    for _ in range(_PAGES):
        try:
            with registry.request("GET", url, scope=registry.scope(), headers={"Accept": mediatypes.INDEX}) as response:
                found += _entries(response.read(MANIFEST_BYTES), url)
                link = _NEXT.search(response.headers.get("Link") or "")
        except (NotFound, _NotAnIndex):
            # A registry that knows the list answers with an empty one.
            found = [*found, *_tagged(registry, digest)]
            break
        if not link:
            break
        target = registry.transport.moved(url, link[1])
        if origin(target) != origin(url):
            raise RegistryError(f"{shown(url)}: continues at another server: refused")
        url = target
    if artifact_type is None:
        return found
    return [entry for entry in found if entry.get("artifactType") == artifact_type]


class _NotAnIndex(Exception):
    pass


def _entries(content: bytes, url: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(content)["manifests"]
        return [entry for entry in entries if isinstance(entry["digest"], str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _NotAnIndex(url) from None


def _tagged(registry: Registry, digest: str) -> list[dict[str, Any]]:
    try:
        manifest = registry.manifest(fallback_tag(digest))
    except NotFound:
        return []
    try:
        return _entries(manifest.content, registry.url(f"manifests/{fallback_tag(digest)}"))
    except _NotAnIndex:
        return []


def push(registry: Registry, content: bytes, media_type: str, descriptor: dict[str, Any]) -> None:
    """Stores the manifest `content`, which has a subject, and lists it for registries that do not do it themselves."""
    manifest = json.loads(content)
    subject = manifest["subject"]["digest"]
    response = registry.put_manifest(descriptor["digest"], content, media_type)
    if response.headers.get("OCI-Subject") == subject:
        return
    entry = {"mediaType": media_type, "digest": descriptor["digest"], "size": len(content)}
    kind = manifest.get("artifactType") or (manifest.get("config") or {}).get("mediaType")
    entry |= {"artifactType": kind} if kind else {}
    entry |= {"annotations": manifest["annotations"]} if manifest.get("annotations") else {}
    others = [other for other in _tagged(registry, subject) if other["digest"] != entry["digest"]]
    index = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": [*others, entry]}
    registry.put_manifest(fallback_tag(subject), dumps(index), mediatypes.INDEX)
