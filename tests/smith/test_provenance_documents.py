"""What an image says of its packages: the database for scanners, CycloneDX and SPDX."""

import hashlib
import json

import pytest
from smith import installed, nativedb, sbom
from smith.content import BytesContent
from smith.sources import Package
from smith.tree import FILE, SYMLINK, Node, Tree

DEB = Package(
    name="app",
    version="1:2.0-1+b1",
    arch="amd64",
    family="deb",
    files=("usr/bin/app", "usr/share/app/gone", "etc/app.conf"),
    source="app-src",
    source_version="1:2.0-1",
    licence="MIT AND (GPL-2 or Artistic)",
    url="http://mirror/pool/app.deb",
    sha256="ab" * 32,
    metadata=b"Package: app\nStatus: install ok installed\nVersion: 1:2.0-1+b1\nSource: app-src (1:2.0-1)\n"
    b"Architecture: amd64\nDescription: one\n two\nConffiles:\n /etc/app.conf 0123\n /etc/gone 4567\n",
)
APK = Package(
    name="busybox",
    version="1.36-r1",
    arch="x86_64",
    family="apk",
    files=("bin/busybox", "bin/sh"),
    licence="GPL-2.0-only",
    metadata=b"C:Q1abc=\nP:busybox\nV:1.36-r1\nA:x86_64\nL:GPL-2.0-only\n",
)


def kept(**paths: bytes | str) -> Tree:
    tree = Tree()
    for path, data in paths.items():
        name = path.replace("__", "/").replace("_conf", ".conf")
        if isinstance(data, str):
            tree.add(name, Node(SYMLINK, 0o777, target=data))
        else:
            tree.add(name, Node(FILE, 0o755, size=len(data), content=BytesContent(data)))
    return tree


def as_tree(files: dict[str, bytes], below: Tree) -> Tree:
    for path, data in files.items():
        below.add(path, Node(FILE, 0o644, size=len(data), content=BytesContent(data)))
    return below


def test_the_dpkg_database_lists_exactly_the_kept_files() -> None:
    tree = kept(usr__bin__app=b"program", etc__app_conf=b"x")
    found = nativedb.database([DEB], dict(tree.items()))
    md5 = hashlib.md5(b"program").hexdigest()
    assert sorted(found) == ["var/lib/dpkg/status.d/app", "var/lib/dpkg/status.d/app.md5sums"]
    assert f"{md5}  usr/bin/app\n".encode() in found["var/lib/dpkg/status.d/app.md5sums"]
    assert b"gone" not in b"".join(found.values())
    assert b"Conffiles:\n /etc/app.conf 0123\n" in found["var/lib/dpkg/status.d/app"]
    read = installed.packages(as_tree(found, tree))
    assert [(p.name, p.version, p.source, p.source_version) for p in read] == [
        ("app", "1:2.0-1+b1", "app-src", "1:2.0-1")
    ]


def test_a_conffiles_field_goes_with_its_last_file() -> None:
    found = nativedb.database([DEB], dict(kept(usr__bin__app=b"x").items()))
    assert b"Conffiles" not in found["var/lib/dpkg/status.d/app"]
    assert found["var/lib/dpkg/status.d/app"].endswith(b"Description: one\n two\n")


def test_the_apk_database_is_read_back() -> None:
    tree = kept(bin__busybox=b"program", bin__sh="/bin/busybox")
    found = nativedb.database([APK], dict(tree.items()))
    text = found["lib/apk/db/installed"].decode()
    assert text.startswith(
        "C:Q1abc=\nP:busybox\nV:1.36-r1\nA:x86_64\nL:GPL-2.0-only\nF:bin\nR:busybox\na:0:0:755\nZ:Q1"
    )
    assert text.endswith("\n\n")
    read = installed.packages(as_tree(found, tree))
    assert [(p.name, p.version, sorted(p.files)) for p in read] == [("busybox", "1.36-r1", ["bin/busybox", "bin/sh"])]


def test_the_database_does_not_depend_on_order() -> None:
    files = dict(kept(usr__bin__app=b"program", bin__busybox=b"b").items())
    backwards = dict(reversed(files.items()))
    assert nativedb.database([DEB, APK], files) == nativedb.database([APK, DEB], backwards)


@pytest.fixture
def subject() -> sbom.Subject:
    return sbom.Subject("app", "sha256:" + "12" * 32, "linux/amd64")


SYSTEM = sbom.Distribution("debian", "12", "Debian GNU/Linux 12 (bookworm)")


def test_package_urls_name_distribution_and_source() -> None:
    assert sbom.purl(DEB, SYSTEM) == (
        "pkg:deb/debian/app@1:2.0-1%2Bb1?arch=amd64&distro=debian-12&upstream=app-src%401:2.0-1"
    )
    assert sbom.purl(APK, sbom.Distribution()) == "pkg:apk/alpine/busybox@1.36-r1?arch=x86_64"
    rpm = Package("bash", "1:5.2-3.fc40", "x86_64", "rpm", source="bash", source_version="1:5.2-3.fc40")
    assert sbom.purl(rpm, sbom.Distribution("fedora", "40")) == (
        "pkg:rpm/fedora/bash@5.2-3.fc40?arch=x86_64&distro=fedora-40&epoch=1"
    )


def test_os_release_is_read() -> None:
    text = '# c\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
    assert sbom.distribution(text) == SYSTEM


def test_cyclonedx_names_every_package_once_and_is_the_same_each_time(subject: sbom.Subject) -> None:
    data = sbom.cyclonedx(subject, [DEB, APK], SYSTEM)
    assert data == sbom.cyclonedx(subject, [APK, DEB], SYSTEM)
    found = json.loads(data)
    assert found["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    assert found["metadata"]["component"]["version"] == subject.digest
    assert [c["name"] for c in found["components"]] == ["debian", "busybox", "app"]
    assert found["components"][2]["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    refs = {component["bom-ref"] for component in found["components"]}
    assert set(found["dependencies"][0]["dependsOn"]) < refs


def test_spdx_describes_the_image_and_contains_every_package(subject: sbom.Subject) -> None:
    found = json.loads(sbom.spdx(subject, [DEB, APK], SYSTEM))
    ids = [item["SPDXID"] for item in found["packages"]]
    assert len(set(ids)) == 3
    assert {r["relatedSpdxElement"] for r in found["relationships"]} == set(ids)
    assert found["documentNamespace"] == json.loads(sbom.cyclonedx(subject, [], SYSTEM))["serialNumber"]
