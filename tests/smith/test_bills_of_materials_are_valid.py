"""Bills of materials against their official schemas and by the readers that their makers publish."""

from pathlib import Path

import pytest
from smith import sbom
from smith.sources import Package

DIGEST = "sha256:" + "0a" * 32
SYSTEMS = [sbom.Distribution(), sbom.Distribution("debian", "12", "Debian GNU/Linux 12 (bookworm)")]
PACKAGES = [
    Package("app", "1:2.0-1+b1", "amd64", "deb", source="app-src", source_version="1:2.0-1", url="http://m.example.org/pool/a.deb",
            sha256="ab" * 32, licence="MIT AND (GPL-2 or Artistic)"),
    Package("libstdc++6", "12.2.0-14+deb12u1", "amd64", "deb", source="gcc-12", source_version="12.2.0-14+deb12u1"),
    Package("libstdc++6", "12.2.0-14+deb12u1", "i386", "deb", source="gcc-12", source_version="12.2.0-14+deb12u1"),
    Package("bash", "1:5.2-3.fc40", "x86_64", "rpm", source="bash", source_version="1:5.2-3.fc40", licence="GPLv3+",
            url="https://m.example.org/bash.rpm", sha256="cd" * 32),
    Package("busybox", "1.36-r1", "x86_64", "apk", licence="GPL-2.0-only"),
    Package("strange~name", "0~rc1+git^20 %", "", "deb", licence="see \u201cCOPYING\u201d\nand <more>"),
]  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS, ids=["unknown", "debian"])
@pytest.mark.parametrize("packages", [[], PACKAGES], ids=["empty", "full"])
@pytest.mark.parametrize("platform", ["", "linux/arm64/v8"])
def test_cyclonedx_is_valid_by_its_schema(system: sbom.Distribution, packages: list[Package], platform: str) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    pytest.importorskip("jsonschema")
    document = sbom.cyclonedx(sbom.Subject("app", DIGEST, platform), packages, system).decode()
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(document) is None


@pytest.mark.parametrize("system", SYSTEMS, ids=["unknown", "debian"])
@pytest.mark.parametrize("packages", [[], PACKAGES], ids=["empty", "full"])
def test_spdx_is_valid_by_its_reader(tmp_path: Path, system: sbom.Distribution, packages: list[Package]) -> None:
    parser = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validator = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    path = tmp_path / "bill.spdx.json"
    path.write_bytes(sbom.spdx(sbom.Subject("app", DIGEST, "linux/amd64"), packages, system))
    document = parser.parse_file(str(path))
    assert [str(each) for each in validator.validate_full_spdx_document(document)] == []
    assert {each.name for each in document.packages} == {"app", *(package.name for package in packages)}


@pytest.mark.parametrize("system", SYSTEMS, ids=["unknown", "debian"])
@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: f"{package.name}-{package.arch}")
def test_package_urls_are_canonical(package: Package, system: sbom.Distribution) -> None:
    packageurl = pytest.importorskip("packageurl")
    made = sbom.purl(package, system)
    read = packageurl.PackageURL.from_string(made)
    assert read.to_string() == made
    assert read.name == package.name
