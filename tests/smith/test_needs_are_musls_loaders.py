"""The closure of ELF files is what musl's own loader says, for real files and for a root made to try its rules."""

import os
import random
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from smith.elf import Linker, closure
from smith.elf.read import Elf
from smith.hosttree import HostTree

FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
MOST = 1000
MADE = 240
"""Objects of the made root."""


@pytest.fixture(scope="module")
def musl() -> str:
    """musl's loader."""
    loader = next((str(path) for path in sorted(Path("/lib").glob("ld-musl-*.so.1"))), "")
    if not loader or subprocess.run([loader, "--list", loader], capture_output=True, check=False).returncode not in (
        0,
        1,
    ):
        pytest.skip("needs musl for this machine")
    return loader


def loader_says(loader: str, path: str, folder: str = "") -> set[str]:
    """What `ld-musl --list` loads, as real paths; `missing NAME` for what is not found."""
    more = ["--library-path", folder] if folder else []
    done = subprocess.run([loader, *more, "--list", path], capture_output=True, text=True, check=False, timeout=60)
    found = {os.path.realpath(each) for each in re.findall(r"=> (\S+) \(", done.stdout)}
    # symbols that a library of another libc lacks are told here too, after all has been loaded
    return found | {f"missing {each}" for each in re.findall(r"loading shared library (\S+): No such", done.stderr)}


def smith_says(linker: Linker, path: str) -> set[str]:
    result = linker.closure([path])
    found = {os.path.realpath(need.found) for need in result.needs if need.kind in ("needed", "interpreter")}
    return found | {f"missing {each.name}" for each in result.missing}


class AsMusl(Linker):
    """Every program as if it had been linked for musl."""

    def __init__(self, loader: str, folder: str) -> None:
        super().__init__(HostTree("/"), (folder,))
        self.loader = loader

    def elf(self, real: str) -> Elf | None:
        found = super().elf(real)
        return found and replace(found, interpreter=self.loader)


def test_a_thousand_real_files_are_loaded_as_musls_loader_does(musl: str, elf_files: list[str]) -> None:
    """Debian's files: their libraries, run paths and names are real, and which libc they want is nothing to --list."""
    folder = next((each for each in FOLDERS if os.path.isdir(each)), "")
    if not folder:
        pytest.skip("the test knows Debian's folders")
    linker = AsMusl(musl, folder)
    own = Linker(HostTree("/")).elf(os.path.realpath(musl)[1:])
    assert own is not None
    compared = 0
    different = {}
    for path in elf_files[:: max(1, len(elf_files) // MOST)]:
        elf = Linker.elf(linker, path[1:])
        if elf is None or not elf.dynamic or (elf.machine, elf.bits) != (own.machine, own.bits):
            continue
        mine, theirs = smith_says(linker, path), loader_says(musl, path, folder)
        # the loader calls itself what the program calls its own
        program = Linker.elf(Linker(linker.tree), path[1:])
        ignored = {os.path.realpath(musl), path, os.path.realpath(program.interpreter) if program else ""}
        compared += 1
        if mine - ignored != theirs - ignored:
            different[path] = (sorted(mine - theirs - ignored), sorted(theirs - mine - ignored))
    assert compared >= 50
    assert not different


RUN_PATHS = (
    "$ORIGIN", "${ORIGIN}/../b", "$ORIGIN/../c:$ORIGIN/../a", "/nowhere:$ORIGIN/deep", "$ORIGIN/../$LIB",
    "$LIB:$ORIGIN", "$ORIGINAL", "$ORIGIN/../a/deep/..:",
)  # fmt: skip


def test_a_made_root_of_every_rule_is_loaded_as_musls_loader_does(musl: str, tmp_path: Path) -> None:
    """Objects with needs, run paths of both kinds, sonames other than names, links and cycles, all drawn at random."""
    compiler, linker = shutil.which("musl-gcc"), shutil.which("ld")
    if compiler is None or linker is None:
        pytest.skip("needs musl's compiler")
    draw = random.Random(7)
    (tmp_path / "x.c").write_text("int x(void) { return 1; }\n")
    subprocess.run([compiler, "-c", "-fPIC", "x.c"], cwd=tmp_path, check=True, capture_output=True)
    names = [f"lib{number}.so.{number % 3}" for number in range(40)]
    (tmp_path / "stubs").mkdir()
    for name in (*names, "libc.so"):
        subprocess.run([linker, "-shared", "-soname", name, "-o", f"stubs/{name}", "x.o"], cwd=tmp_path, check=True)
    folders = [tmp_path / each for each in ("a", "b", "c", "a/deep", "bin")]
    for each in folders:
        each.mkdir()
    made: list[Path] = []
    for number in range(MADE):
        program = number % 4 == 0
        target = folders[4] / f"program{number}" if program else draw.choice(folders[:4]) / draw.choice(names)
        if target.exists():
            continue
        if not program and made and draw.random() < 0.15:
            target.symlink_to(os.path.relpath(draw.choice(made), target.parent))
            continue
        words = [linker, "--no-as-needed", "--allow-shlib-undefined", "-o", str(target), "x.o", "stubs/libc.so"]
        words += [f"stubs/{name}" for name in draw.sample(names, draw.randrange(5))]
        if program:
            words += ["-pie", "-e", "0", "-dynamic-linker", musl]
        else:
            words += ["-shared", "-soname", target.name if draw.random() < 0.6 else draw.choice(names)]
        if draw.random() < 0.7:
            words += [draw.choice(["--enable-new-dtags", "--disable-new-dtags"]), "-rpath", draw.choice(RUN_PATHS)]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
        made.append(target)
    tree = HostTree("/")
    different = {}
    met = lacking = 0
    for target in made:
        path = str(target)
        mine, theirs = smith_says(Linker(tree), path), loader_says(musl, path)
        # a name that one object lacks and another brings along counts as met, as for plugins (LD_LIBRARY_PATH)
        along = {f"missing {os.path.basename(each)}" for each in {path, *theirs}}
        ignored = {os.path.realpath(musl), path} | along
        met += sum(not each.startswith("missing") for each in theirs - ignored)
        lacking += sum(each.startswith("missing") for each in theirs - ignored)
        if mine - ignored != theirs - ignored:
            different[path] = (sorted(mine - theirs - ignored), sorted(theirs - mine - ignored))
    assert len(made) > MADE / 2
    assert met > 200
    assert lacking > 50
    assert not different


def test_musl_programs_agree_with_musls_loader(musl: str, tmp_path: Path) -> None:
    compiler = shutil.which("musl-gcc")
    if compiler is None:
        pytest.skip("needs musl and its compiler")
    (tmp_path / "private").mkdir()
    (tmp_path / "b.c").write_text("int b(void) { return 1; }\n")
    (tmp_path / "a.c").write_text("int b(void); int a(void) { return b(); }\n")
    (tmp_path / "main.c").write_text("int a(void); int main(void) { return a(); }\n")
    private = tmp_path / "private"

    def compile_(*arguments: str) -> None:
        subprocess.run([compiler, *arguments], cwd=tmp_path, check=True, capture_output=True)

    compile_("-shared", "-fPIC", "-Wl,-soname,libb.so.1", "-o", str(private / "libb.so.1"), "b.c")
    compile_("-shared", "-fPIC", "-Wl,-soname,liba.so.1", "-o", str(private / "liba.so.1"), "a.c", "private/libb.so.1")
    # musl lets a library inherit the run path of whoever needs it, RUNPATH too; glibc does not
    flags = ("-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/private", "-Wl,-rpath-link,private")
    compile_("-o", "main", "main.c", "private/liba.so.1", *flags)
    result = closure(HostTree("/"), [str(tmp_path / "main")])
    mine = {os.path.realpath(need.found) for need in result.needs} | {f"missing {m.name}" for m in result.missing}
    said = subprocess.run([musl, "--list", str(tmp_path / "main")], capture_output=True, text=True, check=True).stdout
    theirs = {os.path.realpath(line.split("=>")[1].split()[0]) for line in said.splitlines() if "=>" in line}
    assert mine - {os.path.realpath(musl)} == theirs - {os.path.realpath(musl)}
    assert os.path.realpath(private / "libb.so.1") in mine
