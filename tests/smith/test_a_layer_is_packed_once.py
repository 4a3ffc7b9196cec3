"""A build of which nothing changed takes its layer from the cache, and never one of something else."""

import os
import time
from pathlib import Path

import pytest
from smith import compress, packed
from smith import tree as t
from smith.cache import Cache
from smith.content import FileContent, RegionContent
from smith.hosttree import HostTree
from smith.inflate import inflate
from smith.tarwriter import tar
from smith.tree import Node, Tree


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    found = Cache(tmp_path / "cache")
    probe = compress.pack([b"x"], "gzip", directory=str(found.temporary))
    try:
        os.link(f"/proc/self/fd/{probe.content.fd}", tmp_path / "probe", src_dir_fd=probe.content.fd)
    except OSError as error:
        pytest.skip(f"files without names cannot be kept here: {error}")
    return found


def tree_of(**files: bytes) -> Tree:
    tree = Tree()
    for name, data in files.items():
        tree.add(name, t.made(data))
    return tree


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("packed again")


def test_what_did_not_change_is_not_packed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed.pack(tree_of(a=b"1", b=b"2"), "gzip", cache)
    monkeypatch.setattr(compress, "pack", refuse)
    again = packed.pack(tree_of(a=b"1", b=b"2"), "gzip", cache)
    assert (again.digest, again.diff_id, again.size, again.inflated) == (
        first.digest,
        first.diff_id,
        first.size,
        first.inflated,
    )
    assert again.content.read_at(0, again.size) == first.content.read_at(0, first.size)


def test_every_change_of_the_layer_is_a_change_of_the_key() -> None:
    same = Node(t.FILE, 0o644, size=1, content=t.made(b"1").content)
    trees = [tree_of(a=b"1"), tree_of(b=b"1"), tree_of(a=b"2"), tree_of(a=b"1", b=b"1")]
    for changes in ({"mode": 0o755}, {"uid": 7}, {"gid": 7}):
        tree = tree_of(a=b"1")
        tree.changed("a", **changes)
        trees.append(tree)
    linked, link, folder = Tree(), Tree(), Tree()
    linked.add("a", same)
    linked.link("b", "a")
    link.add("a", Node(t.SYMLINK, 0o777, target="b"))
    folder.add("a", Node(t.DIRECTORY))
    trees += [linked, link, folder]
    keys = [packed.key_of(tree, "gzip") for tree in trees] + [packed.key_of(trees[0], "zstd")]
    assert len(set(keys)) == len(keys)
    assert len({b"".join(tar(tree)) for tree in trees}) == len(trees)


def test_files_of_this_machine_are_told_by_their_times(tmp_path: Path) -> None:
    folder = tmp_path / "rootfs"
    folder.mkdir()
    file = folder / "a"
    file.write_bytes(b"1")
    old = time.time_ns() - 10_000_000_000

    def told() -> str:
        tree = HostTree(str(folder))
        tree.children("")
        return packed.key_of(tree, "gzip")

    deadline = time.monotonic() + 60
    while not (first := told()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    file.write_bytes(b"2")
    os.utime(file, ns=(old, old))
    while not (second := told()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert first != second


def test_a_damaged_layer_is_packed_again(cache: Cache) -> None:
    first = packed.pack(tree_of(a=b"1"), "gzip", cache)
    (kept,) = (cache.directory / "derived" / packed.KIND).iterdir()
    kept.chmod(0o644)
    data = bytearray(kept.read_bytes())
    data[30] ^= 1
    kept.unlink()
    kept.write_bytes(data)
    again = packed.pack(tree_of(a=b"1"), "gzip", cache)
    assert again.digest == first.digest
    assert again.content.read_at(0, again.size) != bytes(data)


def test_only_the_layers_used_last_are_kept(cache: Cache) -> None:
    for number in range(packed.KEPT + 3):
        packed.pack(tree_of(a=b"%d" % number), "gzip", cache)
    for kind in (packed.KIND, f"{packed.KIND}-about"):
        assert len(list((cache.directory / "derived" / kind).iterdir())) == packed.KEPT


def test_members_of_an_inflated_layer_are_told_by_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "layer"
    file.write_bytes(b"".join(compress.compressed(tar(tree_of(a=b"1")), "gzip")))
    one, two = (inflate(FileContent(file), "x").content for _ in range(2))
    assert one.identity()
    assert one.identity() == two.identity()
    assert RegionContent(0, 0, 1).identity() == ""
