"""A locked build takes the same bytes whatever the archive says today; `smith outdated` says what it says."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from smith import builder, lock, outdated
from smith import locked as under_lock
from smith.cache import Cache
from smith.errors import ConfigError, InputError, SmithError, VerificationError
from smith.progress import Silent
from smith.sources import Package, SourceResult
from smith.spec import Repository, Spec


def spec_of(archive: Any, served: Any, folder: Path, **more: Any) -> Spec:
    repository = Repository(served.url, (archive.suite,), (archive.component,), (str(archive.key.public),))
    given = {"package": "app", "repositories": (repository,), "platform": "linux/amd64", "directory": str(folder)}
    return Spec(type="deb", **{**given, **more})


def shape(result: SourceResult) -> Any:
    files = [
        (path, node.kind, node.mode, node.target, node.package, node.content.sha256 if node.content else "")
        for path, node in result.tree.items()
    ]
    return files, result.packages, result.platform


@pytest.fixture
def archive(deb_repository: Any) -> Any:
    found = deb_repository()
    found.add("app", "1.0", Depends="liba", Source="app-src (0.9)")
    found.add("liba", "1.0")
    found.add("base-files", files={"etc/os-release": b"ID=debian\n", "usr/bin/unwanted": b"x"})
    return found.publish()


@pytest.fixture
def locked(archive: Any, serve: Any, cache: Cache, tmp_path: Path) -> tuple[Spec, SourceResult, Any]:
    """A spec with a lock file beside it, what was loaded for it, and the archive's server."""
    folder = tmp_path / "project"
    folder.mkdir()
    served = serve(archive.root)
    spec = spec_of(archive, served, folder)
    result = builder.load_fresh(spec, cache, Silent())
    lock.write(lock.make(spec, result), lock.path_of(spec))
    return spec, result, served


def test_a_locked_load_gives_the_same_tree_after_the_archive_moved_on(locked: Any, archive: Any, cache: Cache) -> None:
    spec, first, served = locked
    archive.add("app", "2.0")
    archive.publish()
    asked = len(served.asked)
    again = builder.load_source(spec, cache, Silent())
    assert shape(again) == shape(first)
    assert "usr/bin/unwanted" not in again.tree
    assert len(served.asked) == asked
    assert [p.version for p in builder.load_fresh(spec, cache, Silent()).packages if p.name == "app"] == ["2.0"]


def test_a_locked_load_with_an_empty_cache_fetches_by_digest_alone(locked: Any, tmp_path: Path) -> None:
    spec, first, served = locked
    asked = len(served.asked)
    again = builder.load_source(spec, Cache(tmp_path / "other"), Silent())
    assert shape(again) == shape(first)
    assert all("/pool/" in path for path in served.asked[asked:])


def test_a_changed_input_is_refused_by_name(locked: Any, archive: Any, tmp_path: Path) -> None:
    spec, _, _ = locked
    path = archive.root / "pool/app_1.0_all.deb"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=r"app 1\.0 \(sha256:\w+\) cannot be had: .*the checksum is"):
        builder.load_source(spec, Cache(tmp_path / "other"), Silent())


def test_vendored_files_are_enough(locked: Any, archive: Any, cache: Cache, tmp_path: Path) -> None:
    spec, first, _ = locked
    kept = under_lock.vendor(lock.read(lock.path_of(spec))[0], f"{spec.directory}/vendor", spec.directory, cache)
    lock.write(kept, lock.path_of(spec))
    for path in archive.root.rglob("*.deb"):
        path.unlink()
    moved = tmp_path / "moved"
    os.rename(spec.directory, moved)
    spec = builder.with_options(spec, directory=str(moved))
    assert shape(builder.load_source(spec, Cache(tmp_path / "other"), Silent())) == shape(first)


def test_a_lock_for_another_request_is_refused(locked: Any, cache: Cache) -> None:
    spec, _, _ = locked
    with pytest.raises(ConfigError, match=r"smith\.lock: was made for other packages.*run `smith lock`"):
        builder.load_source(builder.with_options(spec, packages=("liba",)), cache, Silent())


@pytest.mark.parametrize("text", ["", "[]", '{"lockVersion": 9}', '{"lockVersion": 1, "inputs": [{"x": 1}]}'])
def test_a_damaged_lock_file_is_one_error(locked: Any, cache: Cache, text: str) -> None:
    spec, _, _ = locked
    Path(lock.path_of(spec)).write_text(text)
    with pytest.raises(ConfigError, match=r"smith\.lock"):
        builder.load_source(spec, cache, Silent())


def test_old_packages_are_looked_for_in_the_snapshot_archives() -> None:
    found = under_lock._snapshots("http://deb.debian.org/debian-security/pool/a.deb", "20260102T030405Z")
    assert found == ["https://snapshot.debian.org/archive/debian-security/20260102T030405Z/pool/a.deb"]


def test_a_locked_image_that_changed_is_refused(tmp_path: Path, cache: Cache) -> None:
    made = lock.Lock("oci", "linux/amd64", "", "", (lock.Entry("image", "x", "0" * 64, 1),))
    with pytest.raises(SmithError):
        under_lock.load(Spec(type="oci", package=str(tmp_path / "none.tar")), made, cache, Silent())


def test_fast_takes_what_the_archive_said_last(locked: Any, archive: Any, cache: Cache) -> None:
    spec, _, served = locked
    archive.add("app", "2.0")
    archive.publish()
    asked = len(served.asked)
    fast = builder.load_fresh(builder.with_options(spec, fast=True), cache, Silent())
    assert [p.version for p in fast.packages if p.name == "app"] == ["1.0"]
    assert len(served.asked) == asked


def test_newer_versions_and_what_they_fix_are_told(locked: Any, archive: Any, cache: Cache) -> None:
    spec, first, _ = locked
    assert outdated.check(spec, first.packages, cache, Silent()) == []
    archive.add("app", "1.1")
    archive.publish()
    tracker = {
        "app-src": {
            "CVE-1": {"releases": {"stable": {"status": "resolved", "fixed_version": "1.0"}}},
            "CVE-2": {"releases": {"stable": {"status": "resolved", "fixed_version": "0.9"}}},
            "CVE-3": {"releases": {"stable": {"status": "open"}}},
        }
    }
    found = outdated.check(spec, first.packages, cache, Silent(), tracker, "stable")
    assert found == [outdated.Outdated("app", "1.0", "1.1", ("CVE-1",))]


def test_the_commands_lock_build_and_tell(smith: Path, archive: Any, serve: Any, tmp_path: Path, new_key: Any) -> None:
    served = serve(archive.root)
    (tmp_path / "smith.yaml").write_text(
        f"type: deb\npackage: app\nrepositories:\n- url: {served.url}\n  suites: [stable]\n  components: [main]\n"
        f"  keys: [{archive.key.public}]\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "xdg")}

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(smith), *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    said = json.loads(run("lock", "--vendor", "vendor", "--json"))
    assert [p["name"] for p in said["packages"]] == ["base-files", "liba", "app"]
    first = json.loads(run("build", "-i", "one.tar", "--json"))["digest"]
    assert "none with a newer version" in run("outdated")
    archive.add("app", "2.0")
    archive.publish()
    assert json.loads(run("build", "-i", "two.tar", "--json"))["digest"] == first
    assert "app 1.0 -> 2.0" in run("outdated", code=5)
    assert "app 1.0 -> 2.0" in run("outdated", "one.tar", code=5)
    (tmp_path / "smith.lock").unlink()
    assert json.loads(run("build", "-i", "three.tar", "--json"))["digest"] != first


def test_a_tracker_file_of_another_form_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("[1]")
    with pytest.raises(InputError, match="is not the security tracker's data"):
        outdated.read_tracker(str(tmp_path / "t.json"))
    assert outdated.fixes(Package("a", "1", "all", "deb"), "2", {}, "") == ()
    assert issubclass(VerificationError, SmithError)


def test_what_scanners_look_for_is_in_the_image(archive: Any, serve: Any, cache: Cache, tmp_path: Path) -> None:
    archive.add("base-files", "2", files={"etc/os-release": b"ID=debian\n", "etc/debian_version": b"12\n"})
    archive.publish()
    spec = spec_of(archive, serve(archive.root), tmp_path, packages=("liba",), package="")
    tree = builder.build(spec, cache, Silent()).tree
    for path in ("etc/os-release", "etc/debian_version", "var/lib/dpkg/status.d/liba", "usr/share/doc/liba/copyright"):
        assert path in tree
    assert "var/lib/dpkg/status.d/app" not in tree
