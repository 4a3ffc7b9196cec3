"""The closure of ELF files is what the real loader says, for this machine's own root and another."""

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from smith.content import BytesContent, FileContent
from smith.elf import Linker, closure, read
from smith.errors import InputError
from smith.hosttree import HostTree
from smith.tree import FILE, SYMLINK, Node, Tree

LOADERS = {62: "/lib64/ld-linux-x86-64.so.2", 183: "/lib/ld-linux-aarch64.so.1"}
MOST = 1200


def loader_says(tree: HostTree, root: str, loader: str, path: str) -> set[str]:
    """What a root's own loader lists inside it, as real paths; `missing NAME` for what is not found."""
    # the variable would have a chroot command listed, not what it starts
    enter = None if root == "/" else partial(os.chroot, root)
    environment = {"LD_TRACE_LOADED_OBJECTS": "1", "LC_ALL": "C"}
    done = subprocess.run(
        [loader, path], env=environment, preexec_fn=enter, capture_output=True, text=True, check=False, timeout=60
    )
    found = set()
    for line in done.stdout.splitlines():
        words = line.split()
        if "=>" in words:
            found.add(f"missing {words[0]}" if words[2] == "not" else str(tree.resolve(words[2])))
        elif words and words[0].startswith("/"):
            found.add(str(tree.resolve(words[0])))
    return found


def different(root: str, files: list[str]) -> tuple[int, dict[str, tuple[list[str], list[str]]]]:
    """How many of a root's files were compared, and those of which its own loader says another thing than smith."""
    tree = HostTree(root)
    linker = Linker(tree)
    machines = [elf.machine for path in files[:20] if (elf := linker.elf(path[1:])) is not None]
    loader = next((LOADERS[each] for each in machines if tree.resolve(LOADERS.get(each, "/none")) is not None), "")
    if not loader or len(files) < 50:
        pytest.skip("the root's loader is none that the test knows")
    result = {}
    compared = 0
    for path in files[:: max(1, len(files) // MOST)]:
        elf = linker.elf(path[1:])
        if elf is None or not elf.dynamic or LOADERS.get(elf.machine) != loader or elf.bits != 64:
            continue
        closed = linker.closure([path])
        mine = {str(tree.resolve(need.found)) for need in closed.needs if need.kind in ("needed", "interpreter")}
        mine |= {f"missing {each.name}" for each in closed.missing}
        theirs = loader_says(tree, root, loader, path)
        ignored = {str(tree.resolve(loader)), path[1:]}
        compared += 1
        if mine - ignored != theirs - ignored:
            result[path] = (sorted(mine - theirs - ignored), sorted(theirs - mine - ignored))
    return compared, result


def test_a_thousand_files_agree_with_the_loader(elf_files: list[str]) -> None:
    compared, wrong = different("/", elf_files)
    assert compared >= 50
    assert not wrong


@pytest.mark.root
def test_another_root_agrees_with_its_own_loader() -> None:
    """SMITH_TEST_ROOT is any unpacked system with glibc, of whatever release; nox gives Debian's next one."""
    root = os.environ.get("SMITH_TEST_ROOT", "")
    if not root:
        pytest.skip("SMITH_TEST_ROOT names no other root")
    files = []
    for path in sorted(Path(root, "usr").rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    files.append(f"/{path.relative_to(root)}")
    compared, wrong = different(root, files)
    assert compared >= 30
    assert not wrong


def library(folder: Path, name: str, *needs: str, flags: tuple[str, ...] = ()) -> Path:
    """A shared library made by the machine's compiler."""
    source = folder / f"{name}.c"
    source.write_text(f"int {name.replace('.', '_').replace('-', '_')};\n")
    target = folder / name
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed", f"-Wl,-soname,{name}", "-o", str(target)]
    try:
        subprocess.run(
            [*command, str(source), *flags, *[str(folder / need) for need in needs]], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no working C compiler")
    return target


def test_origin_runpath_and_rpath_inheritance(tmp_path: Path) -> None:
    library(tmp_path, "libdeep.so")
    middle = library(tmp_path, "libmid.so", "libdeep.so")
    new = library(tmp_path, "libnew.so", "libmid.so", flags=("-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/../private"))
    old = library(
        tmp_path, "libold.so", "libmid.so", flags=("-Wl,--disable-new-dtags", "-Wl,-rpath,${ORIGIN}/../private")
    )
    tree = Tree()
    for path, file in (
        ("opt/lib/libnew.so", new),
        ("opt/lib/libold.so", old),
        ("opt/private/libmid.so", middle),
        ("opt/private/libdeep.so", tmp_path / "libdeep.so"),
    ):
        tree.add(path, Node(FILE, 0o644, size=file.stat().st_size, content=FileContent(file)))
    inherited = closure(tree, ["opt/lib/libold.so"])
    assert [need.found for need in inherited.needs] == [
        "/opt/lib/../private/libmid.so",
        "/opt/lib/../private/libdeep.so",
    ]
    assert not inherited.missing
    alone = closure(tree, ["opt/lib/libnew.so"])
    assert [each.name for each in alone.missing] == ["libdeep.so"]
    by_path = closure(tree, ["opt/lib/libnew.so"], library_path=("/opt/private",))
    assert not by_path.missing


def test_a_loaded_soname_meets_a_need(tmp_path: Path) -> None:
    provider = library(tmp_path, "libjvm.so")
    plugin = library(tmp_path, "libplugin.so", "libjvm.so")
    tree = Tree()
    tree.add("opt/java/server/libjvm.so", Node(FILE, size=provider.stat().st_size, content=FileContent(provider)))
    tree.add("opt/java/libplugin.so", Node(FILE, size=plugin.stat().st_size, content=FileContent(plugin)))
    assert [each.name for each in closure(tree, ["opt/java/libplugin.so"]).missing] == ["libjvm.so"]
    assert not closure(tree, ["opt/java/libplugin.so", "opt/java/server/libjvm.so"]).missing


def test_hwcaps_variants_all_come_along(tmp_path: Path) -> None:
    made = library(tmp_path, "libx.so")
    user = library(tmp_path, "libuser.so", "libx.so")
    if read(FileContent(made), "x").machine != 62:
        pytest.skip("the names are x86-64's")
    tree = Tree()
    for path in ("usr/lib/libx.so", "usr/lib/glibc-hwcaps/x86-64-v3/libx.so"):
        tree.add(path, Node(FILE, size=made.stat().st_size, content=FileContent(made)))
    tree.add("usr/lib/libuser.so", Node(FILE, size=user.stat().st_size, content=FileContent(user)))
    found = closure(tree, ["usr/lib/libuser.so"]).paths
    assert found == ["/usr/lib/glibc-hwcaps/x86-64-v3/libx.so", "/usr/lib/libx.so"]


def test_another_class_is_passed_over(tmp_path: Path) -> None:
    made = library(tmp_path, "libx.so")
    user = library(tmp_path, "libuser.so", "libx.so")
    wrong = bytearray(made.read_bytes())
    wrong[18:20] = b"\x28\x00"
    tree = Tree()
    tree.add("lib/libx.so", Node(FILE, size=len(wrong), content=BytesContent(bytes(wrong))))
    tree.add("usr/lib/libx.so", Node(FILE, size=made.stat().st_size, content=FileContent(made)))
    tree.add("usr/lib/libuser.so", Node(FILE, size=user.stat().st_size, content=FileContent(user)))
    assert closure(tree, ["usr/lib/libuser.so"]).paths == ["/usr/lib/libx.so"]


def test_ld_so_conf_is_followed_with_its_includes(tmp_path: Path) -> None:
    made = library(tmp_path, "libx.so")
    user = library(tmp_path, "libuser.so", "libx.so")
    tree = Tree()

    def text(path: str, data: bytes) -> None:
        tree.add(path, Node(FILE, size=len(data), content=BytesContent(data)))

    text("etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n")
    text("etc/ld.so.conf.d/x.conf", b"# comment\n/opt/x\n")
    tree.add("opt/x/libx.so", Node(FILE, size=made.stat().st_size, content=FileContent(made)))
    tree.add("usr/lib/libuser.so", Node(FILE, size=user.stat().st_size, content=FileContent(user)))
    result = closure(tree, ["usr/lib/libuser.so"])
    assert result.paths == ["/opt/x/libx.so"]
    assert result.configured_only == ["/opt/x/libx.so"]


def test_stripped_section_headers_do_not_matter() -> None:
    program = bytearray(Path(os.path.realpath("/bin/true")).read_bytes())
    before = read(BytesContent(bytes(program)), "true")
    program[40:48] = bytes(8)
    program[58:64] = bytes(6)
    assert read(BytesContent(bytes(program)), "true") == before


def test_damage_is_an_input_error_or_another_file() -> None:
    program = Path(os.path.realpath("/bin/true")).read_bytes()
    for position in range(0, 1200, 7):
        for value in (0, 0xFF):
            data = bytearray(program)
            data[position : position + 3] = bytes([value] * 3)
            if data[:4] != b"\x7fELF":
                continue
            try:
                read(BytesContent(bytes(data)), "true")
            except InputError:
                continue


def test_links_that_go_round_are_no_library() -> None:
    tree = Tree()
    tree.add("usr/lib/libx.so", Node(SYMLINK, target="liby.so"))
    tree.add("usr/lib/liby.so", Node(SYMLINK, target="libx.so"))
    assert closure(tree, ["usr/lib/libx.so"]).files == {}
