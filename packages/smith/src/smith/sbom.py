"""Bills of materials: which packages gave files to an image, as CycloneDX 1.6 and SPDX 2.3 JSON documents.

Pure functions of the image and its packages: no clock, no chance, no host. Ids derive from the manifest's digest.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from ocicommon.canonical import dumps

from smith.sources import Package

CYCLONEDX = "application/vnd.cyclonedx+json"
SPDX = "application/spdx+json"
_NAMESPACE = uuid.UUID("6f1d3c7e-0d0f-5b8e-9a53-6f2c1d6a7b10")


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that is described. `digest` is `sha256:...` of its manifest, `created` seconds since the epoch."""

    name: str
    digest: str
    platform: str = ""
    created: int = 0

    @property
    def time(self) -> str:
        return datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def id(self) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, self.digest)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release says (os-release(5)); empty text where it is silent."""

    id: str = ""
    version: str = ""
    name: str = ""


def distribution(os_release: str) -> Distribution:
    """Read an os-release file."""
    values: dict[str, str] = {}
    for line in os_release.splitlines():
        key, equal, value = line.partition("=")
        if equal and not line.startswith("#"):
            try:
                values[key.strip()] = " ".join(shlex.split(value))
            except ValueError:
                values[key.strip()] = value.strip("\"'")
    return Distribution(values.get("ID", ""), values.get("VERSION_ID", ""), values.get("PRETTY_NAME", ""))


def purl(package: Package, system: Distribution) -> str:
    """The package URL (purl-spec, types deb, rpm and apk). The namespace is the distribution, if it is known."""
    namespace = system.id or {"deb": "debian", "apk": "alpine", "rpm": "rpm"}.get(package.family, package.family)
    version, qualifiers = package.version, {}
    if package.family == "rpm" and ":" in version:
        epoch, _, version = version.partition(":")
        if epoch != "0":
            qualifiers["epoch"] = epoch
    if package.arch:
        qualifiers["arch"] = package.arch
    if system.id:
        qualifiers["distro"] = f"{system.id}-{system.version}" if system.version else system.id
    if package.source and (package.source, package.source_version) != (package.name, package.version):
        source = package.source
        if package.source_version and package.source_version != package.version:
            source += f"@{package.source_version}"
        qualifiers["upstream"] = source
    # The canonical form leaves colons as they are.
    quoted = partial(quote, safe=":")
    text = f"pkg:{package.family}/{quoted(namespace)}/{quoted(package.name)}@{quoted(version)}"
    if not qualifiers:
        return text
    return text + "?" + "&".join(f"{key}={quoted(value)}" for key, value in sorted(qualifiers.items()))


def cyclonedx(subject: Subject, packages: Sequence[Package], system: Distribution) -> bytes:
    """The CycloneDX document."""
    components = [_component(package, system) for package in _sorted(packages)]
    main = {
        "bom-ref": subject.digest,
        "type": "container",
        "name": subject.name,
        "version": subject.digest,
        "hashes": [{"alg": "SHA-256", "content": subject.digest.partition(":")[2]}],
    }
    if subject.platform:
        main["properties"] = [{"name": "smith:platform", "value": subject.platform}]
    found: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{subject.id}",
        "version": 1,
        "metadata": {
            "timestamp": subject.time,
            "tools": {"components": [{"type": "application", "name": "smith"}]},
            "component": main,
        },
        "components": components,
        "dependencies": [{"ref": subject.digest, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    if system.id:
        os_component = {"type": "operating-system", "bom-ref": f"os:{system.id}", "name": system.id}
        if system.version:
            os_component["version"] = system.version
        found["components"] = [os_component, *components]
    return dumps(found)


def _component(package: Package, system: Distribution) -> dict[str, Any]:
    url = purl(package, system)
    found: dict[str, Any] = {
        "bom-ref": url,
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": url,
    }
    if package.licence:
        found["licenses"] = [{"license": {"name": package.licence}}]
    if package.url.startswith(("http://", "https://")) and package.sha256:
        reference = {"type": "distribution", "url": package.url}
        found["externalReferences"] = [{**reference, "hashes": [{"alg": "SHA-256", "content": package.sha256}]}]
    properties = {"source": package.source, "source-version": package.source_version, "architecture": package.arch}
    found["properties"] = [{"name": f"smith:{key}", "value": value} for key, value in properties.items() if value]
    return found


def spdx(subject: Subject, packages: Sequence[Package], system: Distribution) -> bytes:
    """The SPDX document."""
    described = [_spdx_package(package, system) for package in _sorted(packages)]
    image: dict[str, Any] = {
        "SPDXID": "SPDXRef-Image",
        "name": subject.name,
        "versionInfo": subject.digest,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": subject.digest.partition(":")[2]}],
    }
    contains = [
        {"spdxElementId": "SPDXRef-Image", "relationshipType": "CONTAINS", "relatedSpdxElement": item["SPDXID"]}
        for item in described
    ]
    return dumps(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": subject.name,
            "documentNamespace": f"urn:uuid:{subject.id}",
            "creationInfo": {"created": subject.time, "creators": ["Tool: smith"]},
            "documentDescribes": ["SPDXRef-Image"],
            "packages": [image, *described],
            "relationships": [
                {
                    "spdxElementId": "SPDXRef-DOCUMENT",
                    "relationshipType": "DESCRIBES",
                    "relatedSpdxElement": "SPDXRef-Image",
                },
                *contains,
            ],
        }
    )


def _spdx_package(package: Package, system: Distribution) -> dict[str, Any]:
    url = purl(package, system)
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-Package-{uuid.uuid5(_NAMESPACE, url)}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": package.url if package.url.startswith(("http://", "https://")) else "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url},
        ],
    }
    if package.licence:
        found["licenseComments"] = f"The package says: {package.licence}"
    if package.sha256:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": package.sha256}]
    if package.source:
        found["sourceInfo"] = f"built from {package.source} {package.source_version}".rstrip()
    return found


def _sorted(packages: Sequence[Package]) -> list[Package]:
    return sorted(packages, key=lambda p: (p.family, p.name, p.version, p.arch))
