"""`type: deb` on archives made here: what is chosen, what the tree holds, how an archive can be wrong."""

import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from smith.cache import Cache
from smith.errors import InputError, SmithError, VerificationError
from smith.progress import Silent
from smith.sources import SourceResult, deb
from smith.spec import Repository, Spec

Make = Callable[..., "object"]


def names(result: SourceResult) -> list[str]:
    return [f"{package.name}={package.version}" for package in result.packages]


def test_the_closure_of_a_package_becomes_a_tree(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app", "2.0-1", Depends="liba (>= 1.0), other | missing", Source="app-src (2.0-0)")
    archive.add("liba", "1.5", Depends="libb:any")
    archive.add("libb", "3")
    archive.add("other")
    archive.add("unrelated")
    result = load_debs("app", archives=[archive.publish()])
    assert names(result) == ["app=2.0-1", "liba=1.5", "libb=3", "other=1.0"]
    app = result.packages[0]
    assert app.files == ("usr/share/app/data", "usr/share/doc/app/copyright")
    assert (app.source, app.source_version) == ("app-src", "2.0-0")
    assert app.metadata.startswith(b"Package: app\nStatus: install ok installed\nVersion: 2.0-1\n")
    node = result.tree["usr/share/app/data"]
    assert (node.package, node.content.read_at(0, 9)) == ("app", b"app")
    assert result.platform == "linux/amd64"
    assert sorted({item.kind for item in result.inputs}) == ["index", "package", "release"]


def test_a_second_load_fetches_no_package_again(deb_repository, load_debs, serve, cache) -> None:
    archive = deb_repository()
    archive.add("app")
    archive.publish()
    served = serve(archive.root)
    repository = Repository(served.url, ("stable",), ("main",), (str(archive.key.public),))
    spec = Spec(type="deb", package="app", repositories=(repository,), platform="linux/amd64")
    first = deb.load(spec, cache, Silent())
    assert len(served.asked) == 3
    assert any("/by-hash/SHA256/" in path for path in served.asked)
    second = deb.load(spec, cache, Silent())
    assert served.asked[3:] == ["/dists/stable/InRelease"]
    assert [p for p, _ in first.tree.items()] == [p for p, _ in second.tree.items()]


def test_virtual_packages_count_by_the_version_they_provide(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app", Depends="virt (>= 5)")
    archive.add("old", Provides="virt (= 4)")
    archive.add("silent", Provides="virt")
    archive.add("right", Provides="something, virt (= 5.1)", Priority="extra")
    assert names(load_debs("app", archives=[archive.publish()])) == ["app=1.0", "right=1.0"]


def test_a_conflict_is_avoided_by_another_alternative(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app", Depends="first | second, strict")
    archive.add("first")
    archive.add("second")
    archive.add("strict", Breaks="first (<< 2)")
    assert names(load_debs("app", archives=[archive.publish()])) == ["app=1.0", "second=1.0", "strict=1.0"]


def test_what_cannot_be_together_is_named(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app", Depends="one, two")
    archive.add("one", Conflicts="two")
    archive.add("two")
    archive.add("lonely", Depends="absent (>= 2)")
    archive.publish()
    with pytest.raises(SmithError, match=r"one 1\.0 conflicts with two 1\.0"):
        load_debs("app", archives=[archive])
    with pytest.raises(SmithError, match=r"lonely 1\.0 needs absent \(>= 2\), which no source has"):
        load_debs("lonely", archives=[archive])


def test_an_unknown_package_gets_a_suggestion(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("nginx")
    archive.publish()
    with pytest.raises(SmithError, match=r"ngnix: no source has .*did you mean nginx\?"):
        load_debs("ngnix", archives=[archive])


def test_a_suite_that_is_not_automatic_is_taken_only_when_named(deb_repository, load_debs) -> None:
    stable = deb_repository("stable-archive")
    stable.add("app", "1.0")
    stable.add("app", "1.1")
    backports = deb_repository("backports", suite="stable-backports", release={"NotAutomatic": "yes"})
    backports.add("app", "2.0")
    both = [stable.publish(), backports.publish()]
    assert names(load_debs("app", archives=both)) == ["app=1.1"]
    assert names(load_debs("app/stable-backports", archives=both)) == ["app=2.0"]
    assert names(load_debs("app=1.0*", archives=both)) == ["app=1.0"]
    with pytest.raises(SmithError, match=r"app=9: no such version; the sources have app 1\.0"):
        load_debs("app=9", archives=both)


def test_merged_usr_holds_for_files_and_hard_links(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add(
        "base",
        files={"bin/tool": b"x", "bin/same": ("hard", "./bin/tool"), "lib/x/z.so": b"z", "etc/l": "/bin/tool"},
    )
    tree = load_debs("base", archives=[archive.publish()]).tree
    assert tree["bin"].target == "usr/bin"
    assert tree["usr/bin/tool"] is tree["usr/bin/same"]
    assert tree.resolve("lib/x/z.so") == "usr/lib/x/z.so"
    assert "sbin" not in tree
    assert tree.resolve("etc/l") == "usr/bin/tool"


def test_alternatives_users_and_certificates_are_made_without_running_scripts(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add(
        "app",
        files={
            "usr/bin/app.big": b"big",
            "usr/share/ca-certificates/m/b.crt": b"B",
            "usr/share/ca-certificates/m/a.crt": b"A\n",
        },
        postinst="#!/bin/sh\nupdate-alternatives --install /usr/bin/app app \\\n  /usr/bin/app.big 50\n"
        "adduser --quiet --system --group --no-create-home --home /var/lib/app appd >/dev/null || true\nfalse\n",
    )
    result = load_debs("app", archives=[archive.publish()])
    tree = result.tree
    made = {"usr/bin/app", "etc/alternatives/app", "etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/cert.pem"}
    assert made < set(result.packages[0].files)
    assert tree.resolve("usr/bin/app") == "usr/bin/app.big"
    assert tree["etc/alternatives/app"].target == "/usr/bin/app.big"
    assert tree["etc/ssl/certs/ca-certificates.crt"].content.read_at(0, 99) == b"A\nB\n"
    passwd = tree["etc/passwd"].content.read_at(0, 1 << 20).decode()
    assert "www-data:x:33:33:" in passwd
    assert "appd:x:101:101::/var/lib/app:/usr/sbin/nologin\n" in passwd
    assert "appd:x:101:\n" in tree["etc/group"].content.read_at(0, 1 << 20).decode()


def test_a_local_file_is_taken_with_its_dependencies(deb_repository, load_debs, tmp_path) -> None:
    archive = deb_repository()
    archive.add("liba")
    (tmp_path / "mine.deb").write_bytes(archive.deb("mine", "9", Depends="liba"))
    result = load_debs("mine.deb", archives=[archive.publish()], directory=str(tmp_path))
    assert names(result) == ["liba=1.0", "mine=9"]


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_files_built_by_dpkg_deb_are_read(tmp_path, deb_repository, load_debs, compression) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: built\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: t\n"
    )
    long = "usr/share/" + "/".join(["long-directory-name"] * 12)
    (root / long).mkdir(parents=True)
    (root / long / "file").write_bytes(b"content")
    os.link(root / long / "file", root / "usr/link")
    built = subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(root), str(tmp_path / "built.deb")],
        capture_output=True,
        check=False,
    )
    if built.returncode and compression == "zstd":
        pytest.skip("this dpkg-deb cannot write zstd")
    assert built.returncode == 0, built.stderr
    archive = deb_repository()
    archive.add("x")
    tree = load_debs("built.deb", archives=[archive.publish()], directory=str(tmp_path)).tree
    assert tree[f"{long}/file"].content.read_at(0, 99) == b"content"
    assert tree["usr/link"] is tree[f"{long}/file"]


def test_a_wrong_signature_is_refused(deb_repository, load_debs, new_key) -> None:
    archive = deb_repository()
    archive.add("app")
    archive.publish()
    archive.key.public = new_key("stranger").public
    with pytest.raises(VerificationError, match=r"InRelease: the signature does not hold.*stranger\.asc"):
        load_debs("app", archives=[archive])


def test_a_changed_release_file_is_refused(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app")
    archive.publish()
    path = archive.root / "dists/stable/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Origin: Test", b"Origin: Evil"))
    with pytest.raises(VerificationError, match="the signature does not hold"):
        load_debs("app", archives=[archive])


def test_an_unsigned_archive_is_refused(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app")
    with pytest.raises(VerificationError, match="signature does not hold"):
        load_debs("app", archives=[archive.publish(sign=False)])


def test_an_expired_release_file_is_refused(deb_repository, load_debs) -> None:
    archive = deb_repository(release={"Valid-Until": "Fri, 02 Jan 2026 00:00:00 UTC"})
    archive.add("app")
    with pytest.raises(VerificationError, match="expired on Fri, 02 Jan 2026"):
        load_debs("app", archives=[archive.publish()])


def test_the_release_file_of_another_suite_is_refused(deb_repository, load_debs) -> None:
    archive = deb_repository(suite="bookworm", release={"Suite": "jessie", "Codename": "jessie"})
    archive.add("app")
    with pytest.raises(VerificationError, match="the Release file of jessie, not of bookworm"):
        load_debs("app", archives=[archive.publish()])


def blobs(cache: Cache) -> list[Path]:
    return [path for path in (cache.directory / "blobs").rglob("*") if path.is_file()]


def test_an_index_that_changed_is_refused_and_not_kept(deb_repository, load_debs, cache) -> None:
    archive = deb_repository(by_hash=False)
    archive.add("app")
    archive.publish()
    index = archive.root / "dists/stable/main/binary-amd64/Packages.xz"
    index.write_bytes(lzma.compress(b"Package: evil\n"))
    with pytest.raises(VerificationError, match=r"Packages\.xz: \d+ bytes where \d+ were promised"):
        load_debs("app", archives=[archive])
    assert blobs(cache) == []


def test_a_changed_package_is_refused_and_not_kept(deb_repository, load_debs, cache) -> None:
    archive = deb_repository()
    data = archive.add("app")
    archive.publish()
    path = archive.root / "pool/app_1.0_all.deb"
    path.write_bytes(data[:-20] + bytes(20))
    with pytest.raises(VerificationError, match=r"app_1\.0_all\.deb: the checksum is"):
        load_debs("app", archives=[archive])
    path.write_bytes(data)
    assert names(load_debs("app", archives=[archive])) == ["app=1.0"]


def test_a_damaged_payload_under_a_right_checksum_is_one_error(deb_repository, load_debs, cache) -> None:
    archive = deb_repository()
    real = archive.deb
    archive.deb = lambda *a, **k: real(*a, **k)[:-60]  # type: ignore[method-assign]
    archive.add("app")
    with pytest.raises(InputError, match=r"app 1\.0: .*(cut|damaged)"):
        load_debs("app", archives=[archive.publish()])
    assert not (cache.directory / "derived/deb-data-1").exists()


def test_a_path_that_leaves_the_root_is_refused(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app", files={"../../etc/passwd": b"x"})
    with pytest.raises(InputError, match=r"app 1\.0: .*leaves the root"):
        load_debs("app", archives=[archive.publish()])


def test_no_network_is_one_error_that_names_the_address(cache) -> None:
    repository = Repository("http://127.0.0.1:9", ("stable",), ("main",), ())
    spec = Spec(type="deb", package="app", repositories=(repository,), platform="linux/amd64")
    with pytest.raises(SmithError, match=r"127\.0\.0\.1:9/dists/stable/InRelease: no connection"):
        deb.load(spec, cache, Silent())


def test_a_component_that_is_not_there_is_named(deb_repository, load_debs) -> None:
    archive = deb_repository()
    archive.add("app")
    archive.publish()
    archive.component = "contrib"
    with pytest.raises(SmithError, match=r"no component 'contrib' \(there are: main\)"):
        load_debs("app", archives=[archive])
