"""Images that are broken or hostile: one clear sentence, nothing written, the old output as it was."""

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

WANTED = "package: in.tar\npaths: [/app]\n"


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info


def refused(run_smith: Any, words: str, code: int = 1) -> None:
    old = run_smith.folder / "out.tar"
    old.write_bytes(b"the old image")
    before = set(os.listdir(run_smith.folder))
    done = run_smith("-i", "out.tar", code=code)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert old.read_bytes() == b"the old image"
    assert set(os.listdir(run_smith.folder)) - {"cache"} == before - {"cache"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("../evil", b"x"), "'..'"),
        (("a/../../evil", b"x"), "'..'"),
        (hard_link("evil", "../../etc/passwd"), "'..'"),
        (hard_link("evil", "/etc/passwd"), "there is no such file before it"),
        (("d/.wh...", b""), "names no file"),
    ],
)
def test_names_that_leave_the_root_are_refused(run_smith: Any, make_image: Any, entry: Any, words: str) -> None:
    make_image([("app", b"x"), entry]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, words)


def test_links_out_of_the_root_stay_inside(run_smith: Any, make_image: Any, read_image: Any) -> None:
    inside = [("etc/passwd", b"inside"), ("app", "../../../../etc/passwd"), ("up", "..")]
    make_image(inside).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    run_smith("-i", "out.tar")
    image = read_image(run_smith.folder / "out.tar")
    assert image.content("etc/passwd") == b"inside"
    assert image.members()["app"].linkname == "../../../../etc/passwd"


def test_absolute_names_are_below_the_root(run_smith: Any, make_image: Any, read_image: Any) -> None:
    make_image([("/app", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    run_smith("-i", "out.tar")
    assert "app" in read_image(run_smith.folder / "out.tar").members()


def test_symlinks_that_go_round_are_no_trap(run_smith: Any, make_image: Any) -> None:
    make_image([("app", "other"), ("other", "app")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/app/x]\n")
    refused(run_smith, "matches nothing", 2)


def test_a_newline_in_a_name_is_refused_when_it_is_wanted(run_smith: Any, make_image: Any, read_image: Any) -> None:
    make_image([("app", b"x"), ("d/a\nb", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/d]\n")
    refused(run_smith, "newline")
    run_smith.yaml(WANTED)
    run_smith("-i", "out.tar")
    assert "app" in read_image(run_smith.folder / "out.tar").members()


def test_devices_are_left_out(run_smith: Any, make_image: Any, read_image: Any) -> None:
    device = tarfile.TarInfo("d/null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    make_image([device, ("d/x", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/d]\n")
    done = run_smith("-i", "out.tar")
    assert "/d/null" in done.stdout
    assert "d/null" not in read_image(run_smith.folder / "out.tar").members()


def test_a_sparse_giant_is_refused(run_smith: Any, make_image: Any, make_tar: Any) -> None:
    info = tarfile.TarInfo("app")
    info.pax_headers = {
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(10 << 30),
        "GNU.sparse.name": "app",
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
    }
    make_image([(info, b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "sparse")


def test_a_bomb_is_refused(run_smith: Any, make_image: Any) -> None:
    image = make_image([("app", b"x")])
    packer = io.BytesIO()
    with gzip.GzipFile(fileobj=packer, mode="wb", compresslevel=9, mtime=0) as stream:
        for _ in range(280):
            stream.write(bytes(1 << 20))
    image.compress = lambda _: packer.getvalue()
    image.write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "decompression bomb")


def test_cut_gzip_is_refused(run_smith: Any, make_image: Any) -> None:
    image = make_image([("app", os.urandom(5000))])
    image.compress = lambda data: gzip.compress(data)[:-100]
    image.write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "cut off")


def test_a_wrong_digest_is_refused(run_smith: Any, make_image: Any) -> None:
    image = make_image([("app", b"right")])
    files = image.files()
    name = next(name for name, data in files.items() if data[:2] == b"\x1f\x8b")
    image.changes[name] = gzip.compress(image.layers[0].replace(b"right", b"wrong"))
    difference = len(image.changes[name]) - len(files[name])
    image.changes[name] += b"\0" * -difference if difference < 0 else b""
    image.write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "digest" if difference <= 0 else "bytes", 3)


def test_a_wrong_diff_id_is_refused(run_smith: Any, make_image: Any) -> None:
    diff_id = "sha256:" + "0" * 64
    make_image([("app", b"x")], config={"rootfs": {"type": "layers", "diff_ids": [diff_id]}}).write(
        run_smith.folder / "in.tar"
    )
    run_smith.yaml(WANTED)
    refused(run_smith, "diff id", 3)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("index.json", b"{"),
        ("index.json", b"[]"),
        ("index.json", b'{"manifests": [{"digest": "md5:x"}]}'),
        ("index.json", b'{"manifests": []}'),
        ("index.json", b"[" * 100_000),
        ("index.json", json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64, "size": 1}]}).encode()),
    ],
)
def test_documents_that_are_wrong_are_refused(run_smith: Any, make_image: Any, name: str, data: bytes) -> None:
    make_image([("app", b"x")], changes={name: data}).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "in.tar")


def test_what_is_no_image_is_refused(run_smith: Any, make_tar: Any) -> None:
    (run_smith.folder / "in.tar").write_bytes(make_tar([("x", b"")]))
    run_smith.yaml(WANTED)
    refused(run_smith, "is no image")
    (run_smith.folder / "in.tar").write_bytes(b"no tar at all, and long enough " * 60)
    refused(run_smith, "broken tar")


@pytest.mark.parametrize("cut", [63, 100, 700])
def test_an_elf_file_cut_off_is_refused(run_smith: Any, make_image: Any, cut: int) -> None:
    program = Path("/bin/true").read_bytes()
    make_image([("app", program[:cut])]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "broken ELF")


def test_absurd_counts_in_an_elf_header_are_refused(run_smith: Any, make_image: Any) -> None:
    program = bytearray(Path("/bin/true").read_bytes())
    program[56:58] = b"\xff\xff"
    make_image([("app", bytes(program))]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    refused(run_smith, "broken ELF")


def test_private_files_need_their_name(run_smith: Any, make_image: Any, read_image: Any) -> None:
    shadow = tarfile.TarInfo("etc/shadow")
    shadow.mode = 0o640
    make_image([(shadow, b"secret"), ("etc/x", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/etc/*]\n")
    refused(run_smith, "/etc/shadow")
    run_smith.yaml("package: in.tar\npaths: [/etc/shadow]\n")
    run_smith("-i", "out.tar")
    member = read_image(run_smith.folder / "out.tar").members()["etc/shadow"]
    assert (member.mode, member.uid) == (0o600, 10)


def test_a_path_that_matches_nothing_is_named_with_its_place(run_smith: Any, make_image: Any) -> None:
    make_image([("usr/bin/app", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths:\n  - /usr/bin/ap\n")
    refused(run_smith, "smith.yaml:3:5: the path '/usr/bin/ap' matches nothing: /usr/bin has app", 2)
    run_smith.yaml("package: in.tar\npaths: [/usr/bin/app, {path: /nothing, optional: true}]\n")
    run_smith("-i", "out.tar")


def test_a_missing_library_is_named(run_smith: Any, make_image: Any) -> None:
    program = Path("/bin/true").read_bytes()
    loader = os.path.realpath("/lib64/ld-linux-x86-64.so.2")
    if not os.path.exists(loader):
        pytest.skip("this machine's loader is another one")
    make_image([("usr/bin/true", program), ("lib64/ld-linux-x86-64.so.2", Path(loader).read_bytes())]).write(
        run_smith.folder / "in.tar"
    )
    run_smith.yaml("package: in.tar\npaths: [/usr/bin/true]\n")
    refused(run_smith, "/usr/bin/true needs libc.so.6, and it is not there")


def test_interrupting_leaves_the_old_output(run_smith: Any, make_image: Any, make_tar: Any) -> None:
    source = run_smith.folder / "in.tar"
    make_image([("app", b"x")]).write(source)
    run_smith.yaml(WANTED + "mock: {pre-build: ['echo ready; exec sleep 600']}\n")
    out = run_smith.folder / "out.tar"
    out.write_bytes(b"the old image")
    process = subprocess.Popen(
        [str(run_smith.command), "-i", "out.tar"],
        cwd=run_smith.folder,
        env=run_smith.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert out.read_bytes() == b"the old image"


def test_a_full_disk_leaves_the_old_output(run_smith: Any, make_image: Any) -> None:
    make_image([("app", os.urandom(300_000))]).write(run_smith.folder / "in.tar")
    run_smith.yaml(WANTED)
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 100; exec {run_smith.command} -i out.tar"],
        cwd=run_smith.folder,
        env=run_smith.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (run_smith.folder / "out.tar").exists()
    assert not [name for name in os.listdir(run_smith.folder) if name.startswith(".out")]


def test_a_missing_yaml_is_named(run_smith: Any) -> None:
    done = run_smith("-c", "absent.yaml", code=2)
    assert "absent.yaml: there is no such file" in done.stderr
