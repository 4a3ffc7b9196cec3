"""An index of several platforms goes to a registry and comes back, with the documents of each image."""

import json
import os
import subprocess
from pathlib import Path

import images
import pytest
from distribution import Registry
from server import Server

BOTH = "linux/amd64,linux/arm64"


@pytest.fixture
def built(smith: Path, tmp_path: Path) -> Path:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/page").write_text("page")
    (tmp_path / "smith.yaml").write_text("")
    run(smith, tmp_path, "build", "--platform", BOTH, "-i", "in.tar")
    return tmp_path / "in.tar"


def run(smith: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run([smith, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def both_ways(smith: Path, folder: Path, address: str) -> None:
    run(smith, folder, "upload", "-r", address, "-i", "in.tar")
    run(smith, folder, "download", "-r", address, "-i", "out.tar", "--all-platforms")
    before, after = images.index_of(folder / "in.tar"), images.index_of(folder / "out.tar")
    assert [entry["digest"] for entry in before] == [entry["digest"] for entry in after]
    sent, got = images.read(folder / "in.tar"), images.read(folder / "out.tar")
    assert {name for name in sent if name.startswith("blobs/")} == {name for name in got if name.startswith("blobs/")}
    for platform in BOTH.split(","):
        bills = [run(smith, folder, "sbom", "--platform", platform, name) for name in ("in.tar", "out.tar")]
        assert bills[0] == bills[1]
        assert platform in bills[0]
        run(smith, folder, "verify", "--platform", platform, "out.tar")
    run(smith, folder, "download", "-r", address, "-i", "arm.tar", "--platform", "linux/arm64")
    assert json.loads(run(smith, folder, "inspect", "--json", "arm.tar"))["platform"] == "linux/arm64"
    assert run(smith, folder, "sbom", "arm.tar") == run(smith, folder, "sbom", "--platform", "linux/arm64", "in.tar")


def test_to_debians_registry_and_back(smith: Path, registry: Registry, built: Path) -> None:
    both_ways(smith, built.parent, f"{registry.host}/several/platforms:v1")


def test_to_a_registry_that_lists_referrers_and_back(smith: Path, server: Server, built: Path) -> None:
    both_ways(smith, built.parent, f"{server.host}/several/platforms:v1")


def test_dockers_types_keep_each_images_documents(smith: Path, registry: Registry, built: Path) -> None:
    folder, address = built.parent, f"{registry.host}/several/docker:v1"
    said = json.loads(run(smith, folder, "upload", "-d", "-r", address, "-i", "in.tar", "--json"))
    assert said["descriptor"]["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    run(smith, folder, "download", "-r", address, "-i", "out.tar", "--all-platforms")
    for platform in BOTH.split(","):
        assert platform in run(smith, folder, "sbom", "--platform", platform, "out.tar")
