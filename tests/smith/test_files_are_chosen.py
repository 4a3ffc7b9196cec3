"""Which files come along, and which are said to be left out."""

import importlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from smith import rules
from smith.config import parse
from smith.content import BytesContent
from smith.elf import follow
from smith.elf.read import Dlopen, Elf
from smith.errors import ConfigError, SmithError
from smith.globs import Excludes, match
from smith.progress import Silent
from smith.selection import Reason, Selection, take_paths
from smith.tree import DIRECTORY, FILE, SYMLINK, Node, Tree

STATUS = b"""Package: app
Status: install ok installed
Architecture: amd64
Version: 1.0
Description: one

Package: other
Status: install ok installed
Architecture: amd64
Version: 2.0
Description: two

Package: meta
Status: install ok installed
Architecture: amd64
Version: 1.0
Description: three

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 3.0
"""


def tree_of(files: dict[str, bytes | str | None], mode: int = 0o755) -> Tree:
    tree = Tree()
    for path, data in files.items():
        if data is None:
            tree.add(path, Node(DIRECTORY))
        elif isinstance(data, str):
            tree.add(path, Node(SYMLINK, 0o777, target=data))
        else:
            tree.add(path, Node(FILE, mode, size=len(data), content=BytesContent(data)))
    return tree


def chosen(tree: Tree, *paths: str, excludes: tuple[str, ...] = ()) -> Selection:
    selection = Selection(tree, Excludes(excludes))
    spec = parse(json.dumps({"paths": list(paths)}))
    take_paths(selection, spec.paths, "smith.yaml")
    follow.complete(selection, (), Silent())
    return selection


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/usr/bin/*", ["usr/bin/a", "usr/bin/b"]),
        ("bin/a", ["bin/a"]),
        ("/**/a", ["bin/a", "lib/a", "usr/bin/a", "usr/lib/a"]),
        ("usr/bin/[!a]", ["usr/bin/b"]),
        ("usr/???/a", ["usr/bin/a", "usr/lib/a"]),
        ("nothing/*", []),
    ],
)
def test_globs_match_through_links(pattern: str, found: list[str]) -> None:
    tree = tree_of({"usr/bin/a": b"", "usr/bin/b": b"", "usr/lib/a": b"", "bin": "usr/bin", "lib": "usr/lib"})
    if pattern == "/**/a":
        assert set(match(tree, pattern)) >= {"usr/bin/a", "usr/lib/a"}
    else:
        assert match(tree, pattern) == found


@pytest.mark.parametrize(
    ("pattern", "path", "hidden"),
    [
        ("/usr/share/doc", "usr/share/doc/x/y", True),
        ("usr/share/*", "usr/share/doc/x", True),
        ("**/*.a", "usr/lib/x.a", True),
        ("**/*.a", "x.a", True),
        ("*.a", "usr/lib/x.a", False),
        ("usr/**", "usr/x", True),
        ("usr/**", "usr", False),
        ("usr/lib/[ab]", "usr/lib/a", True),
    ],
)
def test_excludes_hide_what_they_match_and_all_below(pattern: str, path: str, hidden: bool) -> None:
    assert (path in Excludes((pattern,))) is hidden


def test_links_to_folders_bring_what_is_in_them() -> None:
    tree = tree_of({"etc/app": "../opt/app/conf", "opt/app/conf/a": b"1", "opt/app/other": b"2"})
    assert set(chosen(tree, "/etc/app").chosen) == {"etc/app", "opt/app/conf", "opt/app/conf/a"}


def test_a_folder_taken_bare_is_gone_into_when_a_glob_wants_all() -> None:
    tree = tree_of({"opt/link": "real", "opt/real/deep/file": b"1"})
    selection = Selection(tree, Excludes(()))
    selection.take("opt/link", Reason("package", "", "p"), recursive=False)
    assert set(selection.chosen) == {"opt/link", "opt/real"}
    take_paths(selection, parse("paths: [/]").paths, "smith.yaml")
    assert "opt/real/deep/file" in selection.chosen


def test_a_link_to_nothing_is_kept() -> None:
    assert set(chosen(tree_of({"etc/x": "/run/x"}), "/etc/*").chosen) == {"etc/x"}


def test_scripts_bring_their_interpreters() -> None:
    tree = tree_of(
        {
            "usr/bin/one": b"#!/bin/sh -e\n",
            "usr/bin/two": b"#!/usr/bin/env -S tool -x\n",
            "usr/bin/three": b"#!/usr/bin/absent\n",
            "usr/bin/dash": b"program",
            "usr/bin/sh": "dash",
            "bin": "usr/bin",
            "usr/bin/env": b"program",
            "usr/bin/tool": b"program",
        }
    )
    selection = chosen(tree, "/usr/bin/one", "/usr/bin/two", "/usr/bin/three")
    assert {"bin", "usr/bin/sh", "usr/bin/dash", "usr/bin/env", "usr/bin/tool"} <= set(selection.chosen)
    assert selection.chosen["usr/bin/dash"].via == "usr/bin/one"
    assert ("usr/bin/absent", "the script /usr/bin/three wants it, and it is not there") in selection.left_out.entries


def test_files_without_the_exec_bit_are_no_scripts() -> None:
    tree = tree_of({"etc/x": b"#!/bin/sh\n", "bin/sh": b""}, mode=0o644)
    assert set(chosen(tree, "/etc/x").chosen) == {"etc/x"}


def test_excludes_apply_to_what_is_needed() -> None:
    tree = tree_of({"usr/bin/one": b"#!/bin/sh\n", "bin/sh": b"program"})
    assert set(chosen(tree, "/usr/bin/one", excludes=("/bin/sh",)).chosen) == {"usr/bin/one"}


def test_python_brings_its_library_without_its_tests() -> None:
    tree = tree_of(
        {
            "usr/bin/python3": "python3.12",
            "usr/bin/python3.12": b"program",
            "usr/lib/python3.12/json/__init__.py": b"",
            "usr/lib/python3.12/test/test_json.py": b"",
            "usr/lib/python3.12/__pycache__/x.pyc": b"",
        }
    )
    found = set(chosen(tree, "/usr/bin/python3").chosen)
    assert "usr/lib/python3.12/json/__init__.py" in found
    assert not [path for path in found if "test" in path or "pycache" in path]


def test_what_is_often_wanted_is_offered() -> None:
    tree = tree_of({"usr/bin/python3.12": b"program", "usr/share/zoneinfo/UTC": b""})
    assert ("usr/share/zoneinfo", "time zones") in rules.offers(chosen(tree, "/usr/bin/python3.12"))


def test_every_file_has_a_reason() -> None:
    tree = tree_of({"usr/bin/one": b"#!/bin/sh\n", "bin/sh": b"program"})
    selection = chosen(tree, "/usr/bin/one")
    assert selection.chosen["bin/sh"] == Reason("shebang", "usr/bin/one", "/bin/sh")
    assert selection.chosen["usr/bin/one"] == Reason("path", "", "/usr/bin/one")


def test_folders_without_end_are_no_trap() -> None:
    tree = tree_of({"a/self": "../a", "a/x": b""})
    assert set(chosen(tree, "/a").chosen) == {"a", "a/self", "a/x"}


def packaged(make_image: Any, folder: Path) -> None:
    private = tarfile.TarInfo("usr/share/app/key")
    private.mode = 0o600
    make_image(
        [
            ("var/lib/dpkg/status", STATUS),
            (
                "var/lib/dpkg/info/app.list",
                b"/.\n/usr\n/usr/bin\n/bin/app\n/usr/share/doc/app/copyright\n"
                b"/usr/share/man/man1/app.1.gz\n/usr/share/app/key\n/usr/share/app/data\n",
            ),
            ("var/lib/dpkg/info/other:amd64.list", b"/usr/bin/other\n"),
            ("var/lib/dpkg/info/meta.list", b"/usr/share/doc/meta/copyright\n"),
            ("usr/share/doc/meta/copyright", b"free"),
            ("usr/bin/app", b"#!/usr/bin/other\n"),
            ("bin", "usr/bin"),
            ("usr/bin/other", b"other"),
            ("usr/share/doc/app/copyright", b"free"),
            ("usr/share/man/man1/app.1.gz", b"manual"),
            ("usr/share/app/data", b"data"),
            (private, b"secret"),
        ]
    ).write(folder / "in.tar")


def test_a_packages_own_list_chooses_in_an_image(run_smith: Any, make_image: Any, read_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    run_smith.yaml("package: in.tar\npackages: [app]\n")
    done = run_smith("-i", "out.tar", "--json")
    image = read_image(run_smith.folder / "out.tar")
    members = image.members()
    assert {"usr/bin/app", "usr/bin/other", "usr/share/app/data", "usr/share/doc/app/copyright", "bin"} <= set(members)
    assert "usr/share/man/man1/app.1.gz" not in members
    assert "usr/share/app/key" not in members
    report = json.loads(done.stdout)
    assert [each for each in report["leftOut"] if each["path"] == "usr/share/app/key"]
    assert [package["name"] for package in report["packages"]] == ["app", "other"]
    assert b"Version: 1.0" in image.content("var/lib/dpkg/status.d/app")


def test_a_package_that_is_not_there_is_named(run_smith: Any, make_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    run_smith.yaml("package: in.tar\npackages: [gone]\n")
    done = run_smith("-i", "o.tar", code=2)
    assert "no package 'gone' is there; it has 3 packages, such as app, meta, other" in done.stderr


def test_a_microcontainer_is_a_source_too(run_smith: Any, make_image: Any, read_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    run_smith.yaml("package: in.tar\npackages: [app, other]\n")
    run_smith("-i", "first.tar")
    run_smith.yaml("package: first.tar\npackages: [other]\n")
    run_smith("-i", "second.tar")
    members = read_image(run_smith.folder / "second.tar").members()
    assert "usr/bin/other" in members
    assert "usr/bin/app" not in members


def test_a_package_of_documentation_alone_is_no_image(run_smith: Any, make_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    run_smith.yaml("package: in.tar\npackages: [meta]\n")
    assert "meta: nothing but documentation is in it" in run_smith("-i", "out.tar", code=2).stderr
    run_smith.yaml("package: in.tar\npackages: [meta, other]\n")
    assert "meta: the package has nothing but documentation" in run_smith("-i", "out.tar").stdout


def test_programs_are_found_by_name(run_smith: Any, make_image: Any, read_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    run_smith.yaml("package: in.tar\nbinaries: [other]\n")
    run_smith("-i", "out.tar")
    assert "usr/bin/other" in read_image(run_smith.folder / "out.tar").members()
    run_smith.yaml("package: in.tar\nbinaries: [absent]\n")
    assert "no program 'absent'" in run_smith("-i", "out.tar", code=2).stderr


def test_commands_before_and_after(run_smith: Any, make_image: Any) -> None:
    packaged(make_image, run_smith.folder)
    wish = "package: in.tar\npaths: [/usr/bin/other]\n"
    run_smith.yaml(wish + "mock: {pre-build: ['echo b > before'], post-build: ['echo a > after']}\n")
    run_smith("-i", "out.tar")
    assert (run_smith.folder / "before").exists()
    assert (run_smith.folder / "after").exists()
    os.unlink(run_smith.folder / "after")
    run_smith.yaml(wish + "mock: {pre-build: ['exit 7'], post-build: ['echo a > after']}\n")
    assert "ended with 7" in run_smith("-i", "out.tar", code=1).stderr


def test_a_required_dlopen_note_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closure = importlib.import_module("smith.elf.closure")
    tree = tree_of({"usr/lib/a.so": b"\x7fELF" + bytes(60), "usr/lib/libb.so.1": b"\x7fELF" + bytes(60)})

    def pretend(notes: Dlopen) -> None:
        made = {
            "/usr/lib/a.so": Elf(64, 62, 3, dynamic=True, dlopen=(notes,)),
            "/usr/lib/libb.so.1": Elf(64, 62, 3, dynamic=True),
        }
        monkeypatch.setattr(closure, "read", lambda _, what: made[what])

    pretend(Dlopen(("libb.so.2", "libb.so.1"), "feature", "recommended"))
    assert "usr/lib/libb.so.1" in chosen(tree, "/usr/lib/a.so").chosen
    pretend(Dlopen(("libc.so.9",), "feature", "suggested"))
    assert chosen(tree, "/usr/lib/a.so").left_out.entries
    pretend(Dlopen(("libc.so.9",), "feature", "required"))
    with pytest.raises(SmithError, match=r"libc.so.9"):
        chosen(tree, "/usr/lib/a.so")


def test_an_empty_choice_is_an_error() -> None:
    with pytest.raises(ConfigError, match="matches nothing"):
        chosen(tree_of({"a": b""}), "/b")
