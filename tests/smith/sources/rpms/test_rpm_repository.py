"""`type: rpm` on repositories made here by rpmbuild and createrepo_c, read by rpm and solved by dnf for comparison."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rpm_packages import index, names, needs_rpmbuild
from smith import builder, lock, locked, locking, outdated
from smith.cache import Cache
from smith.errors import SmithError
from smith.progress import Silent
from smith.sources import rpm
from smith.spec import Mock, Repository, Spec


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
@pytest.mark.skipif(shutil.which("dnf") is None, reason="needs dnf to compare with")
@pytest.mark.root
@pytest.mark.parametrize("request_", ["feature gamma", "feature-sub beta alpha", "libdep", "weak shell"])
def test_the_choice_of_packages_is_dnfs(load: Any, repository: Any, tmp_path: Path, request_: str) -> None:
    (tmp_path / "dnf.conf").write_text(
        f"[main]\nreposdir=/nonexistent\nvarsdir=/nonexistent\npluginpath=/nonexistent\nlogdir={tmp_path}/log\n"
        f"persistdir={tmp_path}/persist\ncachedir={tmp_path}/dnf\ninstall_weak_deps=0\noptional_metadata_types=filelists\n"
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
    again = locked.load(spec, lock.read(lock.path_of(spec))[0], cache, Silent())
    assert again.packages == first.packages
    assert [path for path, _ in again.tree.items()] == [path for path, _ in first.tree.items()]
    found = outdated.check(spec, [first.packages[0], *old.packages], cache, Silent())
    assert [(item.name, item.version, item.newest) for item in found] == [("libdep", "0.9-1", "1.2-1")]


def _fields(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


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
