"""Reading and writing tars: against Python's tarfile as the other opinion, and against damage."""

import io
import tarfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smith import compress, layers, tarindex, tarwriter
from smith import tree as t
from smith.content import BytesContent
from smith.errors import InputError
from smith.inflate import inflate
from smith.tree import Node, Tree

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)
PATHS = st.lists(NAMES.filter(lambda n: n not in (".", "..")), min_size=1, max_size=8).map("/".join)


def whole(tree: Tree) -> bytes:
    return b"".join(tarwriter.tar(tree))


def sample() -> Tree:
    tree = Tree()
    tree.add("usr/bin/x", Node(t.FILE, 0o755, 10, 10, size=3, content=BytesContent(b"abc")))
    tree.link("usr/bin/y", "usr/bin/x")
    tree.add("bin", Node(t.SYMLINK, 0o777, target="usr/bin"))
    tree.add("p", Node(t.FIFO, 0o644))
    return tree


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 255, 256, 300, 1000])
def test_names_of_any_length_come_back(length: int) -> None:
    tree = Tree()
    name = "a" * 60 + "/" + "b" * length
    tree.add(name, Node(t.FILE, 0o644, size=2, content=BytesContent(b"hi")))
    tree.add("link", Node(t.SYMLINK, 0o777, target="c" * length))
    data = whole(tree)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert name in archive.getnames()
        assert archive.getmember("link").linkname == "c" * length
    again = Tree()
    layers.apply(again, BytesContent(data), "test")
    assert whole(again) == data


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.dictionaries(PATHS, st.binary(max_size=1500), max_size=6))
def test_any_tree_comes_back_as_it_was(files: dict[str, bytes]) -> None:
    tree = Tree()
    for path, data in files.items():
        tree.add(path, Node(t.FILE, 0o644, size=len(data), content=BytesContent(data)))
    data = whole(tree)
    again = Tree()
    layers.load_tar(again, BytesContent(data), "test")
    assert whole(again) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert len(archive.getnames()) == len(tree)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=24))
def test_damage_is_an_input_error_or_nothing(where: int, noise: bytes) -> None:
    data = bytearray(whole(sample()))
    data[where : where + len(noise)] = noise
    try:
        layers.apply(Tree(), BytesContent(bytes(data)), "test")
    except InputError:
        pass


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.binary(max_size=2048))
def test_noise_is_no_tar(data: bytes) -> None:
    try:
        layers.apply(Tree(), BytesContent(data), "test")
    except InputError:
        pass


def test_a_cut_tar_says_so() -> None:
    data = whole(sample())
    with pytest.raises(InputError, match="broken tar"):
        list(tarindex.members(BytesContent(data[: data.index(b"abc") + 1]), "test"))


def test_hard_links_stay_links() -> None:
    with tarfile.open(fileobj=io.BytesIO(whole(sample()))) as archive:
        assert archive.getmember("usr/bin/y").islnk()
        assert archive.getmember("usr/bin/y").linkname == "usr/bin/x"


def test_gnu_sparse_files_have_their_holes(tool: Callable[[str], str], tmp_path: object) -> None:
    import subprocess
    from pathlib import Path

    folder = Path(str(tmp_path))
    with open(folder / "sparse", "wb") as file:
        file.write(b"start")
        file.seek(3 << 20)
        file.write(b"middle")
        file.seek(7 << 20)
        file.write(b"end")
    expected = (folder / "sparse").read_bytes()
    for form in ("gnu", "posix"):
        made = folder / f"{form}.tar"
        subprocess.run(
            [tool("tar"), "--sparse", f"--format={form}", "-cf", str(made), "-C", str(folder), "sparse"], check=True
        )
        tree = Tree()
        layers.load_tar(tree, BytesContent(made.read_bytes()), "test")
        content = tree["sparse"].content
        assert content is not None
        assert made.stat().st_size < 1 << 20
        assert b"".join(content.chunks()) == expected


@pytest.mark.parametrize("kind", compress.KINDS)
def test_bytes_do_not_depend_on_threads(kind: str) -> None:
    data = b"".join(zlib.compress(bytes([n % 251]) * 7919, 0) for n in range(600))
    made = {compress.pack([data], kind, threads=threads).digest for threads in (1, 2, 5)}
    pieces = [data[n : n + 1000] for n in range(0, len(data), 1000)]
    made.add(compress.pack(pieces, kind).digest)
    assert len(made) == 1


@pytest.mark.parametrize("kind", compress.KINDS)
def test_what_is_packed_inflates_again(kind: str) -> None:
    data = b"some bytes" * 500_000
    packed = compress.pack([data], kind)
    opened = inflate(packed.content, "test")
    assert b"".join(opened.content.chunks()) == data
    assert packed.diff_id == f"sha256:{opened.inner}"
    assert packed.digest == f"sha256:{opened.outer}"


def test_archives_are_one_gzip_member() -> None:
    data = bytes(range(256)) * 10_000
    packed = b"".join(compress.archived([data], "gzip"))
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(packed) == data
    assert decoder.eof
    assert decoder.unused_data == b""


def test_gzip_bytes_are_those_of_every_machine() -> None:
    """Found equal by emulating x86-64 from Nehalem on, and aarch64."""
    state, made = 1, bytearray()
    while len(made) < 3_000_000:
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        made += (b"the ", b"\x7fELF", b"abcabcabc", bytes([state & 255]))[state >> 16 & 3]
    packed = compress.pack([bytes(made)], "gzip")
    assert packed.digest == "sha256:d3b9010cbc39ebab9b1452e57baaec7d8253763744d7d60636d42a3874016132"


def test_layers_hide_what_whiteouts_name(make_tar: Callable[..., bytes]) -> None:
    tree = Tree()
    layers.apply(tree, BytesContent(make_tar([("d/a", b"1"), ("d/b", b"2"), ("e/c", b"3"), ("e/x/y", b"4")])), "one")
    layers.apply(tree, BytesContent(make_tar([("d/.wh.a", b""), ("e/new", b"5"), ("e/.wh..wh..opq", b"")])), "two")
    assert sorted(path for path, _ in tree.items()) == ["d", "d/b", "e", "e/new"]


def test_a_folder_does_not_replace_a_merged_usr_link(make_tar: Callable[..., bytes]) -> None:
    tree = Tree()
    layers.apply(tree, BytesContent(make_tar([("usr/lib", None), ("lib", "usr/lib")])), "one")
    layers.apply(tree, BytesContent(make_tar([("lib", None), ("lib/x", b"1"), ("lib/.wh.y", b"")])), "two")
    assert tree["lib"].is_link
    assert "usr/lib/x" in tree


def test_hard_links_into_lower_layers_are_found(make_tar: Callable[..., bytes]) -> None:
    link = tarfile.TarInfo("b")
    link.type, link.linkname = tarfile.LNKTYPE, "./a"
    tree = Tree()
    layers.apply(tree, BytesContent(make_tar([("a", b"1")])), "one")
    layers.apply(tree, BytesContent(make_tar([link])), "two")
    assert tree["b"] is tree["a"]
