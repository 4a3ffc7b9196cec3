"""rpm's database of the packages kept, and of the packages that a root has."""

import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rpm_packages import needs_rpmbuild
from smith import installed, nativedb
from smith.errors import InputError
from smith.hosttree import overlay
from smith.tree import Tree, made


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


def test_a_damaged_rpm_database_is_one_error() -> None:
    tree = Tree()
    tree.add("var/lib/rpm/rpmdb.sqlite", made(b"SQLite format 3\0" + bytes(9000)))
    with pytest.raises(InputError, match=r"/var/lib/rpm/rpmdb\.sqlite cannot be read"):
        installed.packages(tree)
