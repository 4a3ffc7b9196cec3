"""`type: rpm` on repositories made here by rpmbuild and createrepo_c, read by rpm and solved by dnf for comparison."""

import base64
import datetime
import hashlib
import ipaddress
import os
import re
import shutil
import sqlite3
import ssl
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysequoia
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from smith import builder, installed, lock, locking, nativedb, outdated
from smith.cache import Cache
from smith.errors import ConfigError, InputError, SmithError, VerificationError
from smith.hosttree import overlay
from smith.progress import Silent
from smith.sources import SourceResult, rpm
from smith.sources.rpm import configuration
from smith.sources.rpm import header as h
from smith.spec import Mock, Repository, Spec
from smith.tree import Tree, made

needs_rpmbuild = pytest.mark.skipif(
    shutil.which("rpmbuild") is None or shutil.which("createrepo_c") is None, reason="needs rpmbuild and createrepo_c"
)

FEATURE = """
Name: feature
Epoch: 2
Version: 1.5
Release: 3
Summary: features
License: MIT AND GPL-2.0-or-later
Requires: libdep >= 1.0
Requires: /usr/share/deep/file
Requires: (alpha if beta)
Requires: (beta or gamma)
Recommends: weak
Requires(pre): /bin/sh
AutoReq: no
%description
x
%package sub
Summary: sub
Requires: feature = 2:1.5-3
%description sub
y
%pre
useradd -r -d /var/lib/feature -s /sbin/nologin featured || :
%post
/usr/sbin/alternatives --install /usr/bin/tool tool /usr/bin/feature 10 \
  --follower /usr/bin/tool2 tool2 /usr/bin/h1
%post sub -p <lua>
print("lua")
%pre sub -p /bin/sh
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/feature
mkdir -p %{buildroot}/usr/share/licenses/feature %{buildroot}/var/log/feature
echo tool > %{buildroot}/usr/bin/feature
echo conf > %{buildroot}/etc/feature/c.conf
echo MIT > %{buildroot}/usr/share/licenses/feature/LICENSE
echo hard > %{buildroot}/usr/bin/h1
ln %{buildroot}/usr/bin/h1 %{buildroot}/usr/bin/h2
ln -s feature %{buildroot}/usr/bin/sym
echo cap > %{buildroot}/usr/bin/cap
touch %{buildroot}/usr/share/empty
%files
%attr(4755,root,root) /usr/bin/feature
%config(noreplace) /etc/feature/c.conf
%license /usr/share/licenses/feature/LICENSE
/usr/bin/h1
/usr/bin/h2
/usr/bin/sym
/usr/share/empty
%ghost /var/log/feature/log
%attr(0750,daemon,adm) %dir /var/log/feature
%caps(cap_net_raw=ep) /usr/bin/cap
%files sub
"""


def simple(name: str, version: str = "1.0", files: dict[str, str] | None = None, **tags: str) -> str:
    files = {f"/usr/share/{name}": name} if files is None else files
    lines = [
        f"Name: {name}",
        f"Version: {version}",
        "Release: 1",
        "Summary: s",
        "License: MIT",
        "BuildArch: noarch",
        "AutoReq: no",
    ]
    lines += [f"{tag}: {value}" for tag, value in tags.items()]
    lines += ["%description", "d", "%install"]
    for path, text in files.items():
        lines += [f"mkdir -p %{{buildroot}}{os.path.dirname(path)}", f"echo {text} > %{{buildroot}}{path}"]
    return "\n".join([*lines, "%files", *files]) + "\n"


RELEASE = {
    "/usr/lib/os-release": "\"$(printf 'ID=fedora\\nVERSION_ID=40')\"",
    "/etc/fedora-release": "'Fedora release 40 (Forty)'",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the .rpm files of all tests, built once."""
    root = tmp_path_factory.mktemp("rpms")
    specs = {
        "feature": FEATURE,
        "libdep": simple("libdep", "1.2", {"/usr/share/deep/file": "deep", "/usr/share/libdep": "x"}),
        "libdep-old": simple("libdep", "0.9"),
        "shell": simple("shell", files={"/bin/sh": "sh"}),
        "alpha": simple("alpha"),
        "beta": simple("beta"),
        "gamma": simple("gamma"),
        "weak": simple("weak"),
        "lonely": simple("lonely", Requires="absent >= 2"),
        "clash": simple("clash", Conflicts="alpha"),
        "both": simple("both", Requires="clash, alpha"),
        "system-release": simple("system-release", "40", RELEASE),
    }
    for name, text in specs.items():
        (root / f"{name}.spec").write_text(text)
        done = subprocess.run(
            ["rpmbuild", "-bb", "--define", f"_topdir {root}/top", "--define", f"_rpmdir {root}/out",
             "--define", "_build_id_links none", "--define", "debug_package %{nil}", str(root / f"{name}.spec")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    return root / "out"


def index(root: Path) -> None:
    subprocess.run(["createrepo_c", "-q", str(root)], check=True, capture_output=True)


def sign(path: Path, key: Any) -> None:
    """Put a header signature into an .rpm, as rpmsign does."""
    data = path.read_bytes()
    with open(path, "rb") as stream:
        parts = h.read(stream, str(path))
    signature = bytes(
        pysequoia.sign(
            key.secret.signer(),
            data[parts.start : parts.payload],
            mode=pysequoia.SignatureMode.DETACHED,
            armor=False,
        )
    )
    values: list[Any] = [(h.SIG_RSA, h.BINARY, signature)]
    for tag, (kind, _, _) in parts.signature.entries.items():
        if tag in (269, 273):
            values.append((tag, kind, parts.signature.text(tag)))
        elif tag in (1000, 1007):
            values.append((tag, kind, parts.signature.numbers(tag)))
    blob = h.build(values, h.SIGNATURES)
    lead = data[: h.LEAD]
    path.write_bytes(lead + h.MAGIC + blob + bytes(-len(blob) % 8) + data[parts.start :])


@pytest.fixture
def repository(built: Path, tmp_path: Path, new_key: Any) -> Any:
    """A signed copy of all packages, and its key."""
    root = tmp_path / "repository"
    shutil.copytree(built, root)
    key = new_key("packager")
    for path in root.rglob("*.rpm"):
        sign(path, key)
    index(root)
    return root, key


@pytest.fixture
def load(cache: Cache, serve: Any, repository: Any) -> Callable[..., SourceResult]:
    def run(*names: str, keys: tuple[str, ...] | None = None, **spec: Any) -> SourceResult:
        root, key = repository
        entry = Repository(serve(root).url, keys=keys if keys is not None else (str(key.public),))
        given = {"platform": "linux/amd64", "repositories": (entry,), **spec}
        return rpm.load(Spec(type="rpm", packages=names, **given), cache, Silent())

    return run


def names(result: SourceResult) -> list[str]:
    return [f"{package.name}-{package.version}" for package in result.packages]


@needs_rpmbuild
def test_the_closure_becomes_a_tree(load: Any) -> None:
    result = load("feature-sub", "gamma")
    assert names(result) == ["feature-2:1.5-3", "feature-sub-2:1.5-3", "gamma-1.0-1", "libdep-1.2-1", "shell-1.0-1"]
    tree = result.tree
    assert tree["usr/bin/h1"] is tree["usr/bin/h2"]
    assert tree["usr/bin/h1"].content.read_at(0, 99) == b"hard\n"
    assert tree["usr/bin/sym"].target == "feature"
    assert tree["usr/bin/feature"].mode == 0o4755
    assert tree["usr/bin/cap"].xattrs == {"security.capability": b"cap_net_raw=ep"}
    assert tree["usr/share/empty"].size == 0
    assert "var/log/feature/log" not in tree
    assert (tree["var/log/feature"].mode, tree["var/log/feature"].uid) == (0o750, 2)
    assert (
        "featured:x:101:101::/var/lib/feature:/sbin/nologin\n" in tree["etc/passwd"].content.read_at(0, 9999).decode()
    )
    assert (tree.resolve("usr/bin/tool"), tree.resolve("usr/bin/tool2")) == ("usr/bin/feature", "usr/bin/h1")
    feature = result.packages[0]
    assert "usr/bin/tool" in feature.files
    assert (feature.source, feature.source_version, feature.licence) == ("feature", "1.5-3", "MIT AND GPL-2.0-or-later")
    assert {item.kind for item in result.inputs} == {"release", "index", "package"}


@needs_rpmbuild
def test_a_second_load_fetches_no_package_again(load: Any, repository: Any) -> None:
    load("libdep")
    for path in repository[0].rglob("*.rpm"):
        path.unlink()
    assert names(load("libdep")) == ["libdep-1.2-1"]


@needs_rpmbuild
def test_what_cannot_be_had_is_named(load: Any) -> None:
    with pytest.raises(SmithError, match=r"nothing provides absent >= 2 needed by lonely-1\.0-1"):
        load("lonely")
    with pytest.raises(SmithError, match=r"clash-1\.0-1\.noarch conflicts with alpha"):
        load("both")
    with pytest.raises(SmithError, match=r"featur: no repository has .*did you mean feature"):
        load("featur")


@needs_rpmbuild
def test_local_files_are_taken_with_their_dependencies(load: Any, built: Path, tmp_path: Path) -> None:
    for path in built.rglob("feature-1.5*.rpm"):
        shutil.copy(path, tmp_path / "mine.rpm")
    assert names(load("mine.rpm", "beta", "alpha", directory=str(tmp_path)))[:3] == [
        "alpha-1.0-1",
        "beta-1.0-1",
        "feature-2:1.5-3",
    ]


@needs_rpmbuild
@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs rpm to read the database")
def test_rpm_reads_the_pruned_database_and_it_is_the_same_each_time(load: Any, tmp_path: Path) -> None:
    result = load("feature", "gamma")
    kept = {path: node for path, node in result.tree.items() if path in ("usr/bin/feature", "usr/share/gamma")}
    packages = [package for package in result.packages if package.name in ("feature", "gamma")]
    found = nativedb.database(packages, kept)
    assert found == nativedb.database(list(reversed(packages)), dict(reversed(kept.items())))
    path = tmp_path / "root/usr/lib/sysimage/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(found["usr/lib/sysimage/rpm/rpmdb.sqlite"])
    assert struct.unpack(">I", path.read_bytes()[96:100]) == (3040001,)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    form = "%{NEVRA} %{INSTALLTIME} %{LICENSE} [%{FILENAMES},]\\n"
    query = ["rpm", "--dbpath", str(path.parent), "--define", "_db_backend sqlite", "-qa", "--qf", form]
    said = subprocess.run(query, capture_output=True, text=True, check=False)
    assert sorted(said.stdout.split("\n")) == [
        "",
        "feature-2:1.5-3.x86_64 0 MIT AND GPL-2.0-or-later /usr/bin/feature,",
        "gamma-1.0-1.noarch 0 MIT /usr/share/gamma,",
    ], said.stderr


@needs_rpmbuild
@pytest.mark.root
@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs rpm to write the database")
def test_the_packages_of_a_root_are_read_from_rpms_own_database(load: Any, repository: Any, tmp_path: Path) -> None:
    folder, _ = repository
    root = tmp_path / "root"
    packages = [str(path) for name in ("feature", "gamma") for path in folder.rglob(f"{name}-1*.rpm")]
    place = ["--root", str(root), "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite"]
    options = ["--justdb", "--nodeps", "--noscripts", "--nosignature", "--ignorearch", "--ignoreos"]
    subprocess.run(["rpm", *place, "-i", *options, *packages], check=True, capture_output=True)
    for path in ("usr/bin/feature", "usr/share/gamma"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    tree = Tree()
    overlay(tree, str(root))
    found = {package.name: package for package in installed.packages(tree)}
    assert sorted(found) == ["feature", "gamma"]
    built = {package.name: package for package in load("feature", "gamma").packages}
    for name, package in found.items():
        assert (package.version, package.arch, package.licence) == (
            built[name].version, built[name].arch, built[name].licence,
        )  # fmt: skip
        assert (package.source, package.family) == (built[name].source, "rpm")
    assert "usr/bin/feature" in found["feature"].files
    assert found["gamma"].files == ("usr/share/gamma",)


@needs_rpmbuild
def test_scriptlets_are_told_with_their_interpreters(load: Any) -> None:
    found = {(each.package, each.name): each for each in load("feature", "feature-sub").scripts}
    assert {key: each.interpreter for key, each in found.items()} == {
        ("feature", "pre"): "/bin/sh",
        ("feature", "post"): "/bin/sh",
        ("feature-sub", "pre"): "/bin/sh",
        ("feature-sub", "post"): "<lua>",
    }
    assert found["feature-sub", "pre"].body == b""
    assert b"useradd" in found["feature", "pre"].body
    assert found["feature", "post"].arguments == ("1",)


@needs_rpmbuild
def test_metadata_as_zchunk_alone_is_named(load: Any, repository: Any) -> None:
    root, _ = repository
    path = root / "repodata/repomd.xml"
    path.write_text(path.read_text().replace('type="primary"', 'type="primary_zck"'))
    with pytest.raises(InputError, match="names no primary, but as zchunk"):
        load("libdep")


def test_a_damaged_rpm_database_is_one_error() -> None:
    tree = Tree()
    tree.add("var/lib/rpm/rpmdb.sqlite", made(b"SQLite format 3\0" + bytes(9000)))
    with pytest.raises(InputError, match=r"/var/lib/rpm/rpmdb\.sqlite cannot be read"):
        installed.packages(tree)


@needs_rpmbuild
@pytest.mark.skipif(shutil.which("dnf") is None, reason="needs dnf to compare with")
@pytest.mark.root
@pytest.mark.parametrize("request_", ["feature gamma", "feature-sub beta alpha", "libdep", "weak shell"])
def test_the_choice_of_packages_is_dnfs(load: Any, repository: Any, tmp_path: Path, request_: str) -> None:
    (tmp_path / "dnf.conf").write_text(
        f"[main]\nreposdir=/nonexistent\nvarsdir=/nonexistent\npluginpath=/nonexistent\nlogdir={tmp_path}/log\n"
        f"persistdir={tmp_path}/persist\ncachedir={tmp_path}/dnf\ninstall_weak_deps=0\n"
        f"[r]\nname=r\nbaseurl=file://{repository[0]}\ngpgcheck=0\n"
    )
    said = subprocess.run(
        ["dnf", "-c", str(tmp_path / "dnf.conf"), "--installroot", str(tmp_path / "root"), "--releasever", "1",
         "--forcearch", "x86_64", "--assumeno", "--color=never", "install", *request_.split()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = re.findall(r"^ (\S+)\s+(?:x86_64|noarch)\s+(\S+)\s+r\s", said.stdout, re.M)
    assert rows, said.stdout + said.stderr
    assert sorted(f"{name}-{version}" for name, version in rows) == names(load(*request_.split()))


@needs_rpmbuild
def test_packages_without_a_right_signature_are_refused_and_not_kept(
    load: Any, new_key: Any, repository: Any, built: Path, cache: Cache
) -> None:
    with pytest.raises(VerificationError, match=r"libdep-1\.2-1\.noarch\.rpm: the signature does not hold"):
        load("libdep", keys=(str(new_key("stranger").public),))
    assert not list((cache.directory / "derived").glob("rpm-payload-1/*"))
    root, _ = repository
    for path in built.rglob("libdep-1.2*.rpm"):
        shutil.copy(path, next(root.rglob("libdep-1.2*.rpm")))
    index(root)
    with pytest.raises(VerificationError, match=r"libdep-1\.2-1\.noarch\.rpm: the package is not signed"):
        load("libdep")


@needs_rpmbuild
def test_a_corrupt_payload_under_a_valid_header_is_refused(load: Any, repository: Any) -> None:
    root, _ = repository
    path = next(root.rglob("libdep-1.2*.rpm"))
    data = bytearray(path.read_bytes())
    data[-30] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=r"libdep.*: the checksum is sha256:"):
        load("libdep")
    index(root)
    with pytest.raises(VerificationError, match=r"libdep.*: the payload does not have the digest"):
        load("libdep")


@needs_rpmbuild
def test_metadata_that_changed_is_refused(load: Any, repository: Any) -> None:
    root, _ = repository
    primary = next((root / "repodata").glob("*-primary.xml.*"))
    data = bytearray(primary.read_bytes())
    data[len(data) // 2] ^= 0xFF
    primary.write_bytes(data)
    with pytest.raises(VerificationError, match=r"primary\.xml\.\w+: the checksum is"):
        load("libdep")


@needs_rpmbuild
def test_a_metalink_and_signed_metadata_are_followed(load: Any, repository: Any, serve: Any, cache: Cache) -> None:
    root, key = repository
    served = serve(root)
    repomd = (root / "repodata/repomd.xml").read_bytes()
    digest = hashlib.sha256(repomd).hexdigest()

    def metalink(value: str) -> None:
        (root / "metalink").write_text(
            '<metalink xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><verification>'
            f'<hash type="sha256">{value}</hash></verification><resources>'
            f'<url protocol="http" preference="50">http://127.0.0.1:9/repodata/repomd.xml</url>'
            f'<url protocol="http" preference="40">{served.url}/repodata/repomd.xml</url>'
            "</resources></file></files></metalink>"
        )

    entry = Repository(f"{served.url}/metalink", keys=(str(key.public),), options={"repo_gpgcheck": "1"})
    metalink(digest)
    (root / "repodata/repomd.xml.asc").write_bytes(key.detached(repomd))
    assert names(load("libdep", repositories=(entry,))) == ["libdep-1.2-1"]
    (root / "repodata/repomd.xml.asc").write_bytes(key.detached(b"other"))
    with pytest.raises(SmithError):
        load("libdep", repositories=(entry,))
    metalink("0" * 64)
    with pytest.raises(SmithError):
        load("libdep", repositories=(entry,))


@needs_rpmbuild
def test_a_mock_configuration_gives_its_repositories(load: Any, repository: Any, serve: Any, tmp_path: Path) -> None:
    root, key = repository
    (tmp_path / "base.tpl").write_text(
        f"config_opts['dnf.conf'] = '''\n[main]\nkeepcache=1\n[r]\nname=r\nbaseurl={serve(root).url}\n"
        f"gpgkey=file://{key.public}\n[off]\nname=off\nbaseurl=http://127.0.0.1:9\nenabled=0\n'''\n"
    )
    (tmp_path / "mock.cfg").write_text("include('base.tpl')\nconfig_opts['target_arch'] = 'x86_64'\nimport os\n")
    spec = {"repositories": (), "mock": Mock(config="mock.cfg", deps=("shell",)), "directory": str(tmp_path)}
    assert names(load("libdep", **spec)) == ["libdep-1.2-1", "shell-1.0-1"]


def test_repo_files_are_read() -> None:
    text = (
        "[main]\ngpgcheck=0\n[a]\nname=A\nbaseurl=http://m/$releasever/$basearch http://n/${basearch}\ngpgkey=file:///k\n"
        "[b]\nmetalink=http://m/metalink?arch=$basearch\ngpgcheck=1\nenabled=1\nexclude=x*,y\n[c]\nenabled=0\n"
    )
    found = configuration.repositories(text, "f.repo", {"releasever": "40", "basearch": "x86_64"})
    assert [source.name for source in found] == ["a", "b"]
    assert found[0].urls == ("http://m/40/x86_64", "http://n/x86_64")
    assert (found[0].check_packages, found[1].check_packages) == (False, True)
    assert found[1].exclude == ("x*", "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nname=A\n", r"f\.repo \[a\]: has none of baseurl, mirrorlist and metalink"),
        ("[a]\nbaseurl=http://m/$releasever\n", r"nothing says what \$releasever is"),
        ("baseurl=http://m\n", r"f\.repo"),
    ],
)
def test_a_wrong_repo_file_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configuration.repositories(text, "f.repo", {})


def test_a_repository_without_keys_must_say_so() -> None:
    with pytest.raises(ConfigError, match="needs `keys`"):
        configuration.named([Repository("http://m")], ".", "x86_64")
    assert not configuration.named([Repository("http://m", options={"gpgcheck": "no"})], ".", "x86_64")[
        0
    ].check_packages


@pytest.mark.parametrize(
    "data", [b"", b"\xed\xab\xee\xdb", b"\xed\xab\xee\xdb" + bytes(92) + h.MAGIC + b"\xff" * 8, b"text" * 99]
)
def test_what_is_no_rpm_is_one_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.rpm").write_bytes(data)
    with open(tmp_path / "x.rpm", "rb") as stream, pytest.raises(InputError, match=r"x\.rpm"):
        h.read(stream, "x.rpm")


@needs_rpmbuild
def test_a_locked_load_gives_the_same_tree_and_newer_versions_are_told(
    repository: Any, serve: Any, cache: Cache, tmp_path: Path
) -> None:
    root, key = repository
    entry = Repository(serve(root).url, keys=(str(key.public),))
    spec = Spec(
        type="rpm",
        package="feature",
        packages=("gamma", "libdep-0.9"),
        platform="linux/amd64",
        repositories=(entry,),
        directory=str(tmp_path),
    )
    with pytest.raises(SmithError, match="libdep"):
        rpm.load(spec, cache, Silent())
    old = rpm.load(Spec(**{**_fields(spec), "package": "libdep-0.9", "packages": ()}), cache, Silent())
    spec = Spec(**{**_fields(spec), "packages": ("gamma",)})
    first = rpm.load(spec, cache, Silent())
    lock.write(lock.make(spec, first), lock.path_of(spec))
    again = lock.load(spec, lock.read(lock.path_of(spec))[0], cache, Silent())
    assert again.packages == first.packages
    assert [path for path, _ in again.tree.items()] == [path for path, _ in first.tree.items()]
    found = outdated.check(spec, [first.packages[0], *old.packages], cache, Silent())
    assert [(item.name, item.version, item.newest) for item in found] == [("libdep", "0.9-1", "1.2-1")]


def _fields(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """authority(name) -> (certificate, key), signed by tmp_path/ca.pem; for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def certificate(name: x509.Name, public: Any, authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(ca_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=2))
        builder = builder.not_valid_after(now + datetime.timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        own = x509.SubjectKeyIdentifier.from_public_key(public)
        builder = builder.add_extension(own, critical=False).add_extension(issuer, critical=False)
        return builder.add_extension(names, critical=False).sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    ca = certificate(ca_name, ca_key.public_key(), True)
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(pem))

    def make(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        files[0].write_bytes(certificate(subject, key.public_key(), False).public_bytes(pem))
        form = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        return files

    return make


@needs_rpmbuild
def test_tls_with_a_private_authority_client_certificates_and_a_password(
    load: Any, repository: Any, authority: Any, tmp_path: Path, serve: Any
) -> None:
    root, key = repository
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority("server"))
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    served = serve(root, context)
    wanted = "Basic " + base64.b64encode(b"me:secret").decode()
    served.hook = lambda _: None if served.headers[-1].get("Authorization") == wanted else 401
    certificate, secret = authority("client")
    options = {"sslcacert": str(tmp_path / "ca.pem"), "sslclientcert": str(certificate), "sslclientkey": str(secret)}
    options |= {"username": "me", "password": "secret"}

    def attempt(**changes: str) -> list[str]:
        given = {name: value for name, value in {**options, **changes}.items() if value}
        return names(load("libdep", repositories=(Repository(served.url, keys=(str(key.public),), options=given),)))

    assert attempt() == ["libdep-1.2-1"]
    with pytest.raises(SmithError, match="certificate is not trusted"):
        attempt(sslcacert="")
    with pytest.raises(SmithError, match="HTTP 401") as caught:
        attempt(password="wrong")
    assert "wrong" not in str(caught.value)
    with pytest.raises(SmithError):
        attempt(sslclientcert="", sslclientkey="")


@needs_rpmbuild
@pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("objcopy") is None, reason="needs gcc and objcopy for a debug file"
)
def test_debug_files_are_found_by_build_id(tmp_path: Path, cache: Cache, serve: Any) -> None:
    (tmp_path / "t.c").write_text("int main(void) { return 0; }\n")
    tool, debug = tmp_path / "tool", tmp_path / "tool.debug"
    identity = "0123456789abcdef0123456789abcdef01234567"
    command = ["gcc", "-g", "-static", "-nostdlib", "-ffreestanding", "-Wl,-emain", f"-Wl,--build-id=0x{identity}"]
    subprocess.run([*command, "-o", str(tool), str(tmp_path / "t.c")], check=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(tool), str(debug)], check=True)
    folder = f"/usr/lib/debug/.build-id/{identity[:2]}"
    (tmp_path / "tool.spec").write_text(f"""
Name: tool
Version: 1
Release: 1
Summary: s
License: MIT
AutoReqProv: no
%global __os_install_post %{{nil}}
%description
d
%package debuginfo
Summary: s
Provides: debuginfo(build-id) = {identity}
%description debuginfo
d
%install
mkdir -p %{{buildroot}}/usr/bin %{{buildroot}}{folder} %{{buildroot}}/usr/lib/debug/usr/bin
mkdir -p %{{buildroot}}/usr/lib/debug/.dwz
cp {tool} %{{buildroot}}/usr/bin/tool
cp {debug} %{{buildroot}}/usr/lib/debug/usr/bin/tool-1.debug
cp {debug} %{{buildroot}}/usr/lib/debug/usr/bin/other.debug
cp {debug} %{{buildroot}}/usr/lib/debug/.dwz/tool-1
ln -s ../../usr/bin/tool-1.debug %{{buildroot}}{folder}/{identity[2:]}.debug
mkdir -p %{{buildroot}}/usr/src/debug/tool
echo source > %{{buildroot}}/usr/src/debug/tool/t.c
%files
/usr/bin/tool
%files debuginfo
/usr/lib/debug
/usr/src/debug
""")
    definitions = [f"_topdir {tmp_path}/top", f"_rpmdir {tmp_path}/out", "_build_id_links none", "debug_package %{nil}"]
    build = ["rpmbuild", "-bb", "--quiet"]
    for definition in definitions:
        build += ["--define", definition]
    done = subprocess.run([*build, str(tmp_path / "tool.spec")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    index(tmp_path / "out")
    entry = Repository(serve(tmp_path / "out").url, options={"gpgcheck": "no"})
    spec = Spec(type="rpm", package="tool", repositories=(entry,), directory=str(tmp_path))
    plain = builder.build(spec, cache, Silent())
    assert not any("debug" in path for path, _ in plain.tree.items())
    mock = Mock(debuginfo=True, debug_paths=("/usr/src/debug/tool/*",))
    report = builder.build(builder.with_options(spec, mock=mock), cache, Silent())
    kept = {path for path, node in report.tree.items() if not node.is_dir and "debug" in path}
    assert kept == {
        f"{folder[1:]}/{identity[2:]}.debug",
        "usr/lib/debug/usr/bin/tool-1.debug",
        "usr/lib/debug/.dwz/tool-1",
        "usr/src/debug/tool/t.c",
    }
    assert [package.name for package in report.packages] == ["tool", "tool-debuginfo"]
    spec = builder.with_options(spec, mock=mock)
    lock.write(locking.of_today(spec, str(tmp_path / "kept"), cache, Silent()), lock.path_of(spec))
    shutil.rmtree(tmp_path / "out")
    again = builder.build(spec, Cache(tmp_path / "empty"), Silent())
    assert again.built.digest == report.built.digest, "a lock covers the debug packages, too"


@needs_rpmbuild
def test_a_scanner_finds_exactly_the_kept_packages(repository: Any, serve: Any, run_smith: Any, scanned: Any) -> None:
    root, key = repository
    run_smith.yaml(
        "type: rpm\nplatform: linux/amd64\npackages: [feature, gamma, system-release]\nentrypoint: [/usr/bin/feature]\n"
        f"repositories:\n- {{url: '{serve(root).url}', keys: ['{key.public}']}}\n"
    )
    run_smith("build", "-i", "image.tar")
    run_smith("unpack", "image.tar", "bundle")
    assert scanned(run_smith.folder / "bundle/rootfs") == {
        ("pkg:rpm/fedora/feature@1.5-3", "2"),
        ("pkg:rpm/fedora/gamma@1.0-1", "0"),
        ("pkg:rpm/fedora/system-release@40-1", "0"),
    }
