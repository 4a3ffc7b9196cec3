"""`type: apk` on repositories made here, signed as Alpine's are."""

import base64
import gzip
import hashlib
import io
import itertools
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from smith import lock, locked, nativedb, outdated
from smith.errors import InputError, SmithError, VerificationError
from smith.progress import Silent
from smith.sources import SourceResult, apk
from smith.sources.apk import version
from smith.spec import Repository, Spec


def segment(files: dict[str, bytes | str | tuple[str, str]], end: bool = True) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, value in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(value, bytes):
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            elif isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
                tar.addfile(info)
            else:
                info.type, info.linkname = tarfile.LNKTYPE, value[1]
                tar.addfile(info)
        size = out.tell()
    data = out.getvalue()
    return gzip.compress(data if end else data[:size], mtime=0)


@dataclass
class Alpine:
    root: Path
    algorithm: str = "RSA"
    name: str = "test@example.org-1234.rsa.pub"
    secret: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    stanzas: list[str] = field(default_factory=list)

    @property
    def public(self) -> Path:
        return self.root / self.name

    def sign(self, data: bytes) -> bytes:
        kind = hashes.SHA256() if self.algorithm == "RSA256" else hashes.SHA1()
        signature = self.secret.sign(data, padding.PKCS1v15(), kind)
        return segment({f".SIGN.{self.algorithm}.{self.name}": signature}, end=False) + data

    def apk(self, name: str, ver: str, files: Any = None, scripts: dict[str, str] | None = None, **info: str) -> bytes:
        data = segment({f"usr/share/{name}": name.encode()} if files is None else files)
        lines = [f"pkgname = {name}", f"pkgver = {ver}", "arch = x86_64", "license = MIT"]
        lines += [f"depend = {word}" for word in info.get("D", "").split()]
        lines += [f"datahash = {hashlib.sha256(data).hexdigest()}"]
        control = segment(
            {".PKGINFO": "\n".join(lines).encode(), **{n: t.encode() for n, t in (scripts or {}).items()}}, end=False
        )
        self.checksum = "Q1" + base64.b64encode(hashlib.sha1(control).digest()).decode()
        return self.sign(control)[: -len(control)] + control + data

    def add(self, name: str, ver: str = "1.0-r0", files: Any = None, scripts: Any = None, **letters: str) -> Path:
        data = self.apk(name, ver, files, scripts, **letters)
        path = self.root / f"x86_64/{name}-{ver}.apk"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        lines = [f"C:{self.checksum}", f"P:{name}", f"V:{ver}", "A:x86_64", f"S:{len(data)}", "L:MIT", f"o:{name}-src"]
        self.stanzas.append("\n".join([*lines, *(f"{key}:{value}" for key, value in letters.items())]) + "\n")
        return path

    def publish(self) -> "Alpine":
        index = segment({"DESCRIPTION": b"test", "APKINDEX": "\n".join(self.stanzas).encode() + b"\n"})
        (self.root / "x86_64").mkdir(parents=True, exist_ok=True)
        (self.root / "x86_64/APKINDEX.tar.gz").write_bytes(self.sign(index))
        self.public.write_bytes(
            self.secret.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return self


@pytest.fixture
def alpine(tmp_path: Path) -> Alpine:
    return Alpine(tmp_path / "alpine")


@pytest.fixture
def load(cache: Any, serve: Any, alpine: Alpine) -> Callable[..., SourceResult]:
    def run(*names: str, **spec: Any) -> SourceResult:
        repository = Repository(serve(alpine.root).url, keys=(str(alpine.public),))
        given = {"platform": "linux/amd64", "repositories": (repository,), **spec}
        return apk.load(Spec(type="apk", packages=names, **given), cache, Silent())

    return run


def names(result: SourceResult) -> list[str]:
    return [f"{package.name}={package.version}" for package in result.packages]


SORTED = [
    "1.0_alpha1", "1.0_alpha2", "1.0_beta", "1.0_pre1", "1.0_rc1", "1.0", "1.0-r1", "1.0-r10", "1.0a", "1.0b",
    "1.0_git20240101", "1.0_p1", "1.0.1", "1.02", "1.1", "1.10", "2",
]  # fmt: skip


def test_versions_sort() -> None:
    order = [v for v in SORTED if v not in ("1.0_git20240101", "1.0_p1", "1.02")]
    assert sorted(set(order), key=version.key) == order
    for lower, higher in itertools.pairwise(["1.0", "1.0_git20240101", "1.0_p1", "1.0.1"]):
        assert version.key(lower) < version.key(higher)


@pytest.mark.parametrize(
    ("offered", "operator", "wanted", "holds"),
    [
        ("1.2.3-r0", "~", "1.2", True),
        ("1.20-r0", "~", "1.2", False),
        ("1.2-r0", "=", "1.2-r0", True),
        ("1.2-r1", ">", "1.2-r0", True),
        ("1.2", "<=", "1.2", True),
        ("1.2", "<", "1.2", False),
        ("2.0", ">=", "1.9", True),
    ],
)
def test_versions_satisfy(offered: str, operator: str, wanted: str, holds: bool) -> None:
    assert version.satisfies(offered, operator, wanted) is holds


@pytest.mark.parametrize("algorithm", ["RSA", "RSA256"])
def test_the_closure_becomes_a_tree(alpine: Alpine, load: Any, algorithm: str) -> None:
    alpine.algorithm = algorithm
    alpine.add(
        "app",
        D="so:libz.so.1 musl>=1.2 !bad",
        files={"usr/bin/app": b"\x7fELF", "usr/bin/alias": ("hard", "usr/bin/app")},
    )
    alpine.add(
        "zlib", "1.3-r2", p="so:libz.so.1=1.3.0", files={"lib/libz.so.1": "libz.so.1.3", "lib/libz.so.1.3": b"z"}
    )
    alpine.add("zlib", "1.2-r0", p="so:libz.so.1=1.2.0")
    alpine.add("musl", "1.2.5-r0", p="so:libc.musl-x86_64.so.1=1")
    alpine.add("bad")
    alpine.add("alpine-release", files={"etc/os-release": b"ID=alpine\n", "etc/other": b"x"})
    alpine.publish()
    result = load("app")
    assert names(result) == ["alpine-release=1.0-r0", "app=1.0-r0", "musl=1.2.5-r0", "zlib=1.3-r2"]
    assert result.tree["usr/bin/alias"] is result.tree["usr/bin/app"]
    assert result.tree.resolve("lib/libz.so.1") == "lib/libz.so.1.3"
    assert "etc/os-release" in result.tree
    assert "etc/other" not in result.tree
    assert "nobody:x:65534:" in result.tree["etc/passwd"].content.read_at(0, 999).decode()
    assert result.packages[1].licence == "MIT"
    database = nativedb.database(result.packages, dict(result.tree.items()))["lib/apk/db/installed"].decode()
    assert "P:zlib\nV:1.3-r2\n" in database
    assert "F:lib\nR:libz.so.1\na:0:0:755\nZ:Q1" in database


def test_what_install_if_names_comes_along(alpine: Alpine, load: Any) -> None:
    alpine.add("app")
    alpine.add("docs")
    alpine.add("app-docs", i="app=1.0-r0 docs")
    alpine.add("old-docs", i="app=0.9-r0 docs")
    alpine.add("more", i="app-docs")
    alpine.publish()
    assert names(load("app")) == ["app=1.0-r0"]
    assert names(load("app", "docs")) == ["app=1.0-r0", "app-docs=1.0-r0", "docs=1.0-r0", "more=1.0-r0"]


def test_apks_version_3_is_named(alpine: Alpine, load: Any) -> None:
    alpine.publish()
    (alpine.root / "x86_64/APKINDEX.tar.gz").write_bytes(b"ADB.pckg" + bytes(100))
    with pytest.raises(InputError, match="apk's version 3"):
        load("app")


def test_scripts_are_those_of_a_first_installation(alpine: Alpine, load: Any) -> None:
    alpine.add("app", scripts={".pre-install": "1", ".post-install": "2", ".post-upgrade": "3", ".trigger": "4"})
    alpine.publish()
    found = [(each.package, each.name, each.body, each.arguments) for each in load("app").scripts]
    assert found == [("app", "pre-install", b"1", ("1.0-r0",)), ("app", "post-install", b"2", ("1.0-r0",))]


def test_users_of_scripts_are_made(alpine: Alpine, load: Any) -> None:
    script = "addgroup -S app 2>/dev/null\nadduser -S -D -H -h /var/lib/app -s /sbin/nologin -G app -g app app\n"
    alpine.add("app", scripts={".pre-install": script})
    alpine.publish()
    tree = load("app").tree
    passwd = tree["etc/passwd"].content.read_at(0, 999).decode()
    assert "app:x:101:101:app:/var/lib/app:/sbin/nologin\n" in passwd


def test_a_second_load_fetches_no_package_again(alpine: Alpine, load: Any, serve: Any) -> None:
    path = alpine.add("app")
    alpine.publish()
    load("app")
    path.unlink()
    assert names(load("app")) == ["app=1.0-r0"]


def test_requests_with_versions(alpine: Alpine, load: Any) -> None:
    for ver in ("1.0-r0", "1.1-r0", "2.0-r0"):
        alpine.add("app", ver)
    alpine.publish()
    assert names(load("app")) == ["app=2.0-r0"]
    assert names(load("app~1")) == ["app=1.1-r0"]
    assert names(load("app=1.0-r0")) == ["app=1.0-r0"]
    with pytest.raises(SmithError, match=r"app>3: no such version; the repositories have app 1\.0-r0"):
        load("app>3")
    with pytest.raises(SmithError, match=r"apq: no repository has .*did you mean app\?"):
        load("apq")


def test_what_cannot_be_satisfied_is_named(alpine: Alpine, load: Any) -> None:
    alpine.add("app", D="so:libmissing.so.1")
    alpine.publish()
    with pytest.raises(SmithError, match=r"app 1\.0-r0 needs so:libmissing\.so\.1, which no source has"):
        load("app")


def test_a_local_file_is_taken(alpine: Alpine, load: Any, tmp_path: Path) -> None:
    alpine.add("lib")
    alpine.publish()
    (tmp_path / "mine.apk").write_bytes(alpine.apk("mine", "3-r1", D="lib"))
    assert names(load("mine.apk", directory=str(tmp_path))) == ["lib=1.0-r0", "mine=3-r1"]


def test_an_index_signed_by_another_key_is_refused(alpine: Alpine, load: Any) -> None:
    alpine.add("app")
    alpine.publish()
    alpine.secret = rsa.generate_private_key(65537, 2048)
    good = (alpine.root / "x86_64/APKINDEX.tar.gz").read_bytes()
    alpine.publish()
    (alpine.root / "x86_64/APKINDEX.tar.gz").write_bytes(good)
    with pytest.raises(
        VerificationError, match=r"APKINDEX\.tar\.gz: the signature by test@example\.org.* does not hold"
    ):
        load("app")


def test_an_unknown_signer_and_an_unsigned_index_are_refused(alpine: Alpine, load: Any) -> None:
    alpine.add("app")
    alpine.publish()
    alpine.name = "stranger.rsa.pub"
    known = alpine.public
    alpine.publish()
    known.rename(alpine.root / "friend.rsa.pub")
    alpine.name = "friend.rsa.pub"
    with pytest.raises(VerificationError, match=r"signed by stranger\.rsa\.pub; trusted keys: friend\.rsa\.pub"):
        load("app")
    path = alpine.root / "x86_64/APKINDEX.tar.gz"
    path.write_bytes(segment({"APKINDEX": b""}))
    with pytest.raises(VerificationError, match="is not signed"):
        load("app")


def test_changed_packages_are_refused_and_not_kept(alpine: Alpine, load: Any, cache: Any) -> None:
    path = alpine.add("app")
    alpine.publish()
    good = path.read_bytes()
    other = alpine.apk("app", "1.0-r0", files={"usr/share/evil": b"evil"})
    path.write_bytes(other + bytes(max(0, len(good) - len(other))))
    with pytest.raises(SmithError, match=r"app-1\.0-r0\.apk: "):
        load("app")
    path.write_bytes(good[:-8] + bytes(8))
    with pytest.raises(VerificationError, match="its files do not have the checksum"):
        load("app")
    assert not (cache.directory / "derived/apk-package-1").exists()
    path.write_bytes(good)
    assert names(load("app")) == ["app=1.0-r0"]


def test_a_path_that_leaves_the_root_is_refused(alpine: Alpine, load: Any) -> None:
    alpine.add("app", files={"../evil": b"x"})
    alpine.publish()
    with pytest.raises(InputError, match=r"app 1\.0-r0: .*leaves the root"):
        load("app")


def test_a_locked_load_gives_the_same_tree_and_newer_versions_are_told(
    alpine: Alpine, serve: Any, cache: Any, tmp_path: Path
) -> None:
    alpine.add("app", D="lib")
    alpine.add("lib")
    alpine.add("alpine-release", files={"etc/os-release": b"ID=alpine\n", "etc/other": b"x"})
    alpine.publish()
    repository = Repository(serve(alpine.root).url, keys=(str(alpine.public),))
    spec = Spec(type="apk", package="app", platform="linux/amd64", repositories=(repository,), directory=str(tmp_path))
    first = apk.load(spec, cache, Silent())
    made = lock.make(spec, first)
    lock.write(made, lock.path_of(spec))
    again = locked.load(spec, lock.read(lock.path_of(spec))[0], cache, Silent())
    assert again.packages == first.packages
    assert [path for path, _ in again.tree.items()] == [path for path, _ in first.tree.items()]
    alpine.add("lib", "1.1-r0")
    alpine.publish()
    found = outdated.check(spec, first.packages, cache, Silent())
    assert [(item.name, item.newest) for item in found] == [("lib", "1.1-r0")]


def test_a_scanner_finds_exactly_the_kept_packages(alpine: Alpine, serve: Any, run_smith: Any, scanned: Any) -> None:
    alpine.add("app", "2.0-r1", D="lib unused")
    alpine.add("lib")
    alpine.add("unused")
    release = b'ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n'
    alpine.add("alpine-release", files={"etc/os-release": release, "etc/alpine-release": b"3.19.1\n"})
    alpine.publish()
    run_smith.yaml(
        "type: apk\nplatform: linux/amd64\npackages: [app, lib]\nentrypoint: [/usr/share/app]\nrepositories:\n"
        f"- {{url: '{serve(alpine.root).url}', keys: ['{alpine.public}']}}\n"
    )
    run_smith("build", "-i", "image.tar")
    run_smith("unpack", "image.tar", "bundle")
    found = scanned(run_smith.folder / "bundle/rootfs")
    assert {name for name, _ in found} == {"pkg:apk/alpine/app@2.0-r1", "pkg:apk/alpine/lib@1.0-r0"}
