"""inspect, ls, why, diff, verify, sbom: of an image built from this machine's own files."""

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "/usr/bin/env"


@pytest.fixture
def built(run_smith: Any) -> Path:
    if not os.path.exists(PROGRAM) or not os.path.exists("/var/lib/dpkg/status"):
        pytest.skip("needs a machine of the dpkg family")
    run_smith.yaml(f"type: host\npaths: [{PROGRAM}]\ncmd: [{PROGRAM}]\n")
    run_smith("-i", "out.tar")
    path: Path = run_smith.folder / "out.tar"
    return path


def test_an_image_of_this_machines_files_keeps_all_promises(run_smith: Any, built: Path) -> None:
    assert "all promises hold" in run_smith("verify", "out.tar").stdout
    assert json.loads(run_smith("verify", "out.tar", "--json").stdout)["ok"] is True


def test_verify_builds_again_and_compares(run_smith: Any, built: Path) -> None:
    run_smith("verify", "--rebuild", "out.tar")
    run_smith.yaml(f"type: host\npaths: [{PROGRAM}]\ncmd: [{PROGRAM}, -0]\n")
    assert "built again its digest is" in run_smith("verify", "--rebuild", "out.tar", code=3).stdout


def test_inspect_names_the_owner_of_each_file(run_smith: Any, built: Path) -> None:
    data = json.loads(run_smith("inspect", "out.tar", "--json").stdout)
    owners = {entry["path"]: entry["package"] for entry in data["files"]}
    assert owners["usr/bin/env"] == "coreutils"
    assert data["packages"]["coreutils"]["files"] >= 2
    shown = run_smith("inspect", "out.tar").stdout
    assert "coreutils" in shown
    assert "user 10:10" in shown


def test_the_page_needs_nothing_from_elsewhere(run_smith: Any, built: Path) -> None:
    run_smith("inspect", "out.tar", "--html", "page.html")
    page = (run_smith.folder / "page.html").read_text()
    assert "class=map" in page
    assert "coreutils" in page
    assert "src=" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in page
    assert "<script" not in page


def test_why_draws_the_chain_to_the_wish(run_smith: Any, built: Path) -> None:
    data = json.loads(run_smith("inspect", "out.tar", "--json").stdout)
    libc = next("/" + entry["path"] for entry in data["files"] if entry["path"].endswith("/libc.so.6"))
    steps = json.loads(run_smith("why", "out.tar", libc, "--json").stdout)
    assert steps[0]["kind"] == "path"
    assert steps[0]["detail"] == PROGRAM
    assert steps[-1]["kind"] == "needed"
    assert "needs libc.so.6" in run_smith("why", "out.tar", libc).stdout
    assert "there is no /nothing" in run_smith("why", "out.tar", "/nothing", code=1).stderr


def test_licences_of_all_packages_are_in(run_smith: Any, built: Path) -> None:
    files = set(run_smith("ls", "-R", "out.tar").stdout.split())
    packages = json.loads(run_smith("inspect", "out.tar", "--json").stdout)["packages"]
    for name in packages:
        if name != "(smith)":
            assert f"/usr/share/doc/{name}/copyright" in files


def test_verify_says_what_is_broken(run_smith: Any, make_image: Any) -> None:
    make_image([("app", b"x")]).write(run_smith.folder / "other.tar")
    said = run_smith("verify", "other.tar", code=3).stdout
    assert "there is no folder /proc" in said
    assert "artifact manifest" in said


def test_diff_tells_packages_files_and_config_apart(run_smith: Any, make_image: Any) -> None:
    make_image([("app", b"one"), ("gone", b"")], config={"config": {"Cmd": ["/a"]}}).write(run_smith.folder / "a.tar")
    make_image([("app", b"two"), ("new", b"")], config={"config": {"Cmd": ["/b"]}}).write(run_smith.folder / "b.tar")
    data = json.loads(run_smith("diff", "a.tar", "b.tar", "--json", code=1).stdout)
    assert data["files"]["added"] == ["new"]
    assert data["files"]["removed"] == ["gone"]
    assert data["files"]["changed"] == [{"path": "app", "package": "", "changes": ["lines +1 -1"]}]
    assert data["config"] == [{"name": "config.Cmd", "old": ["/a"], "new": ["/b"]}]
    assert run_smith("diff", "a.tar", "a.tar").stdout == "no difference\n"


def test_diff_says_what_differs_in_a_program(run_smith: Any, tool: Any, make_image: Any) -> None:
    """Sections, build id and needs of ELF files, by two programs made here."""
    compiler = tool("gcc")
    made = []
    for number, text in enumerate(("int main(){return 0;}", "double sin(double);int main(int n){return sin(n);}")):
        (run_smith.folder / "main.c").write_text(text)
        words = [compiler, "-o", f"app{number}", "main.c", "-lm", "-Wl,--as-needed", "-Wl,--build-id"]
        subprocess.run(words, cwd=run_smith.folder, check=True)
        made.append((run_smith.folder / f"app{number}").read_bytes())
    for name, data in zip(("a.tar", "b.tar"), made, strict=True):
        make_image([("bin/app", data)]).write(run_smith.folder / name)
    changes = json.loads(run_smith("diff", "a.tar", "b.tar", "--json", code=1).stdout)["files"]["changed"][0]["changes"]
    assert "needs libm.so.6 now" in changes
    assert any(text.startswith("build id ") for text in changes)
    sections = next(text for text in changes if text.startswith("ELF sections "))
    assert ".text" in sections
    assert ".dynamic" in sections
    back = json.loads(run_smith("diff", "b.tar", "a.tar", "--json", code=1).stdout)["files"]["changed"][0]["changes"]
    assert "needs libm.so.6 no more" in back


def test_diff_says_what_differs_in_metadata_and_bytes(run_smith: Any, make_image: Any) -> None:
    def entry(**values: Any) -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo("file")
        for name, value in values.items():
            setattr(info, name, value)
        return info, b"\0" * 5 + values.get("pax_headers", {}).get("end", "a").encode()

    old = entry(mode=0o644, mtime=5)
    new = entry(mode=0o755, uid=7, mtime=6, pax_headers={"SCHILY.xattr.user.x": "1", "end": "b"})
    make_image([old]).write(run_smith.folder / "a.tar")
    make_image([new]).write(run_smith.folder / "b.tar")
    said = run_smith("diff", "a.tar", "b.tar", code=1).stdout
    for text in (
        "mode 0644 -> 0755",
        "owner 0:0 -> 7:0",
        "time 5 -> 6",
        "attribute user.x is new",
        "content from byte 5",
    ):
        assert text in said


def test_diff_tells_how_equal_files_were_packed(run_smith: Any, make_image: Any) -> None:
    files = [("a", b"1"), ("b", b"2")]
    make_image(files).write(run_smith.folder / "a.tar")
    make_image(files[::-1]).write(run_smith.folder / "order.tar")
    make_image(files, compress=lambda data: data, media_type="application/vnd.oci.image.layer.v1.tar").write(
        run_smith.folder / "plain.tar"
    )
    named = [(tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("b"), b"2")]
    named[0][0].uname = "somebody"
    make_image(named).write(run_smith.folder / "named.tar")

    def said(other: str) -> str:
        return str(run_smith("diff", "a.tar", other, code=1).stdout)

    assert "another order: number 1 was 'a', is 'b'" in said("order.tar")
    assert "the same tar, compressed otherwise (gzip -> none" in said("plain.tar")
    assert "owner's name of 'a': ':' -> 'somebody:'" in said("named.tar")


def test_diff_sums_a_package_up_unless_all_is_asked_for(run_smith: Any, built: Path) -> None:
    run_smith.yaml("type: host\npaths: [/etc/hostname]\n")
    run_smith("-i", "empty.tar")
    short = run_smith("diff", "empty.tar", "out.tar", code=1).stdout
    assert "+ package coreutils " in short
    assert "  + /usr/bin/env\n" not in short
    assert "  + /usr/bin/env\n" in run_smith("diff", "--all", "empty.tar", "out.tar", code=1).stdout


def test_inspect_sums_the_small_ones_up(run_smith: Any, make_image: Any) -> None:
    small = [(f"etc/app/part{number}", b"x") for number in range(9)]
    make_image([("usr/lib/only/big", bytes(100_000)), *small]).write(run_smith.folder / "a.tar")
    shown = run_smith("inspect", "a.tar").stdout
    assert "├─ usr/lib/only\n" in shown
    assert "└─ ... 6 more\n" in shown
    assert "part8" not in shown
    assert "part8" in run_smith("inspect", "--all", "a.tar").stdout


def test_answers_in_a_pipe_have_no_colours(run_smith: Any, built: Path) -> None:
    shown = run_smith("inspect", "out.tar").stdout
    assert "\x1b" not in shown
    assert "└─ " in shown
    assert " coreutils " in shown
    table = run_smith("sbom", "--format", "table", "out.tar").stdout
    assert any(line.startswith("coreutils ") for line in table.splitlines())
    assert json.loads(run_smith("sbom", "--json", "out.tar").stdout)["bomFormat"] == "CycloneDX"


def test_bills_of_materials_name_the_packages_kept(run_smith: Any, built: Path) -> None:
    cyclonedx = json.loads(run_smith("sbom", "out.tar").stdout)
    spdx = json.loads(run_smith("sbom", "out.tar", "--format", "spdx").stdout)
    names = {component["name"] for component in cyclonedx["components"]}
    assert {"coreutils", "libc6"} <= names
    assert {"coreutils", "libc6"} <= {package["name"] for package in spdx["packages"]}
    assert "--format 'x'" in run_smith("sbom", "out.tar", "--format", "x", code=2).stderr


def test_dpkgs_own_databases_are_pruned_to_what_is_kept(run_smith: Any, built: Path, read_image: Any) -> None:
    members = read_image(built).members()
    names = {Path(name).name for name in members if name.startswith("var/lib/dpkg/status.d/")}
    assert {"coreutils", "libc6"} <= names
    assert len([name for name in names if not name.endswith(".md5sums")]) < 12


@pytest.mark.root
def test_the_bundle_runs(run_smith: Any, built: Path, railcar: Path) -> None:
    run_smith("unpack", "out.tar", "bundle")
    config = json.loads((run_smith.folder / "bundle/config.json").read_text())
    assert config["root"]["readonly"] is True
    assert config["process"]["user"] == {"uid": 10, "gid": 10}
    assert {"/run", "/write"} <= {mount["destination"] for mount in config["mounts"]}
    done = subprocess.run(
        [str(railcar), "--root", str(run_smith.folder / "state"), "run", f"answers-{os.getpid()}"],
        cwd=run_smith.folder / "bundle",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "PATH=" in done.stdout
    assert "is there already" in run_smith("unpack", "out.tar", "bundle", code=1).stderr


def test_a_normal_users_bundle_maps_the_images_user(run_smith: Any, built: Path) -> None:
    run_smith("unpack", "--rootless", "out.tar", "bundle")
    linux = json.loads((run_smith.folder / "bundle/config.json").read_text())["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert os.geteuid() in {entry["hostID"] for entry in linux["uidMappings"]}
    assert (run_smith.folder / "bundle/rootfs/usr/bin/env").stat().st_uid == os.geteuid()


def test_a_name_in_an_image_does_not_steer_the_terminal(run_smith: Any, make_image: Any) -> None:
    make_image([("a\x1b[2Jpp", b"one")]).write(run_smith.folder / "a.tar")
    make_image([("other", b"two")]).write(run_smith.folder / "b.tar")
    for command in (["inspect", "a.tar"], ["ls", "a.tar"], ["diff", "a.tar", "b.tar"]):
        done = subprocess.run(
            [run_smith.command, *command],
            cwd=run_smith.folder,
            env=run_smith.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "\x1b[2J" not in done.stdout + done.stderr, command
        assert "pp" in done.stdout + done.stderr, command
