"""checkpoint and restore as docker and podman ask for them: a container goes on where it was."""

import shutil
import subprocess
from typing import Any

import pytest
from engine_support import Engine, until

# It counts in memory, and says so: a restored one goes on counting, a started one begins at 1.
COUNT = "n=0; while :; do n=$((n+1)); echo count $n; sleep 0.1; done"


@pytest.fixture(scope="module", autouse=True)
def criu() -> None:
    if not shutil.which("criu"):
        pytest.skip("criu is not installed")
    done = subprocess.run(["criu", "check"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"criu cannot work on this kernel: {(done.stderr or done.stdout).strip()[-200:]}")


@pytest.fixture(scope="module")
def daemon_options() -> dict[str, Any]:
    return {"experimental": True}


def highest(engine: Engine, name: str) -> int:
    """How far it has counted, which must have been without a gap and without beginning anew."""
    counts = [int(line.split()[1]) for line in engine.logs(name).splitlines() if line.startswith("count ")]
    assert counts == list(range(1, len(counts) + 1))
    return len(counts)


def test_docker(docker: Engine) -> None:
    name = docker.start(command=("sh", "-c", COUNT))
    until(lambda: highest(docker, name) >= 5, "the container to count")
    docker.ok("checkpoint", "create", name, "one")
    until(lambda: docker.inspect(name, ".State.Status") == "exited", "the container to be gone")
    before = highest(docker, name)
    done = docker("start", "--checkpoint", "one", name)
    if "bind-mount /proc/0/ns/net" in done.stderr:
        pytest.skip("docker 28 looks for the network of a process that is not restored yet, under any runtime")
    assert done.returncode == 0, done.stderr
    until(lambda: highest(docker, name) > before, "the container to go on counting")
    docker.ok("rm", "--force", name)


def test_docker_leaves_it_running(docker: Engine) -> None:
    name = docker.start(command=("sh", "-c", COUNT))
    docker.ok("checkpoint", "create", "--leave-running", name, "one")
    assert docker.inspect(name, ".State.Running") == "true"
    before = highest(docker, name)
    until(lambda: highest(docker, name) > before, "the container to go on counting")
    docker.ok("rm", "--force", name)


def test_podman(podman: Engine) -> None:
    name = podman.start(command=("sh", "-c", COUNT))
    until(lambda: highest(podman, name) >= 5, "the container to count")
    podman.ok("container", "checkpoint", name)
    assert podman.inspect(name, ".State.Checkpointed") == "true"
    before = highest(podman, name)
    podman.ok("container", "restore", name)
    until(lambda: highest(podman, name) > before, "the container to go on counting")
    podman.ok("rm", "--force", "--time", "0", name)
