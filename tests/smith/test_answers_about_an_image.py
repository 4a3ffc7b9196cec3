"""inspect, ls, why, diff, verify, sbom: of an image built from this machine's own files."""

import json
import os
import subprocess
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
    assert "<svg" in page
    assert "coreutils" in page
    assert "src=" not in page
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
    assert data["files"]["changed"] == [{"path": "app", "package": "", "changes": ["content"]}]
    assert data["config"] == [{"name": "config.Cmd", "old": ["/a"], "new": ["/b"]}]
    assert run_smith("diff", "a.tar", "a.tar").stdout == "no difference\n"


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
