"""buildah RUN by railcar."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import Engine


@pytest.fixture(scope="module")
def buildah(rootfs: Path, place: Path) -> Engine:
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    (place / "containers.conf").write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
    argv = ["buildah", "--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs"]
    return Engine(argv, dict(os.environ) | {"CONTAINERS_CONF": f"{place}/containers.conf"}, place)


@pytest.fixture(scope="module")
def container(buildah: Engine, rootfs: Path) -> Iterator[str]:
    made = buildah("from", "scratch")
    name = made.stdout.strip()
    if made.returncode or buildah("add", name, rootfs, "/").returncode:
        pytest.skip(f"buildah does not work here: {made.stderr[-300:]}")
    buildah.ok("config", "--env", "PATH=/bin", name)
    yield name
    buildah("rm", name)


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [("echo built; id -u >/built", "built", 0), ("cat /built", "0", 0), ("exit 7", "", 7)],
)
def test_run(buildah: Engine, container: str, runtime: str, command: str, said: str, code: int) -> None:
    done = buildah("run", "--runtime", runtime, "--network", "none", container, "--", "sh", "-c", command)
    assert (done.stdout.strip(), done.returncode) == (said, code), done.stderr


def test_build(buildah: Engine, runtime: str, rootfs: Path, tmp_path: Path) -> None:
    shutil.copy(rootfs, tmp_path / "rootfs.tar")
    (tmp_path / "Containerfile").write_text(
        "FROM scratch\nADD rootfs.tar /\nENV PATH=/bin\nRUN echo token >/built\nRUN grep token /built\n"
    )
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    options = ["--runtime", runtime, "--network", "none", "--signature-policy", policy]
    assert "token" in buildah.ok("build", *options, "-t", "built", tmp_path)
