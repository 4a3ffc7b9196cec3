"""Binds whose source an earlier mount put into the root itself: in order, in user namespaces, with ids mapped."""

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root


@pytest.fixture
def tree(box: Any) -> Any:
    """A box whose /mnt is made of several binds, over one another."""
    for name in ("a/x", "b/y", "c/z"):
        (box.directory / "sources" / name).mkdir(parents=True)
        (box.directory / "sources" / name / "file").write_text(name)
    for source, destination in (("a", "/mnt"), ("b", "/mnt/x"), ("c", "/mnt/x/y"), ("a", "/mnt/x/y/z")):
        box.add(destination, "", str(box.directory / "sources" / source), "bind")
    return box


def again(box: Any, *options: str) -> None:
    """Bind parts of the tree into itself, and all of it elsewhere."""
    for source, destination in (("mnt/x", "/mnt/x/y/z/x"), ("mnt/x/y", "/mnt/x/y/z"), ("mnt", "/final")):
        box.add(destination, "", str(box.root / source), "rbind", *options)


@pytest.mark.parametrize(("option", "in_user_namespace"), [("rprivate", False), ("rprivate", True), ("idmap", True)])
def test_line_030_parts_of_the_root_are_bound_in_order(tree: Any, option: str, in_user_namespace: bool) -> None:
    if in_user_namespace:
        tree.user_namespace()
    for path in (tree.directory / "sources").rglob("*"):
        os.chmod(path, 0o755)
    again(tree, option)
    assert tree.run("cat /final/x/y/z/z/x/y/z/x/file").stdout == "a/x"


def test_line_041_what_was_mounted_in_the_root_is_bound_with_other_owners(tree: Any) -> None:
    """The ids that the host's files have are those of the container, seen through the mapped bind only."""
    tree.user_namespace()
    (tree.directory / "sources/a/owned").write_text("")
    os.chown(tree.directory / "sources/a/owned", 7, 8)
    again(tree, "idmap")
    said = tree.run("stat -c %u:%g /mnt/owned /final/owned").stdout
    assert said.split() == ["65534:65534", "7:8"]


def test_line_041_ids_that_cannot_be_mapped_there_are_said(tree: Any) -> None:
    tree.user_namespace()
    tree.add("/proc-of-the-root", "", str(tree.root / "proc/sys"), "bind", "idmap")
    said = tree.run("true", fails=True).stderr
    assert "its filesystem cannot be idmapped" in said
    assert list(Path(tree.directory / "state").glob("*/state.json")) == []
