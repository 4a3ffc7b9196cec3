"""docker reads what smith pushed, and smith what docker pushed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import images
import pytest
from distribution import Registry
from smith.registry import pull, push

pytestmark = pytest.mark.root
Docker = Callable[..., subprocess.CompletedProcess[str]]
DEADLINE = 120.0


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A docker of the test's own: data, state and socket in a folder of its own, no network set up."""
    for name in ("dockerd", "docker", "containerd"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    base = tmp_path_factory.mktemp("docker")
    socket = f"unix://{base}/docker.sock"
    (base / "daemon.json").write_text("{}")
    words = ["dockerd", "--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "-H", socket]
    words += ["--pidfile", f"{base}/pid", "--config-file", f"{base}/daemon.json"]
    words += ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_CONFIG": f"{base}/client"}
        return subprocess.run(
            ["docker", "-H", socket, *words], capture_output=True, text=True, check=False, env=environment
        )

    with open(base / "log", "wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < end and run("version").returncode:
            time.sleep(0.1)
        if process.poll() is not None or run("version").returncode:
            pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-500:]}")
        yield run
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for left in (base / "exec/netns").glob("*"):
            subprocess.run(["umount", left], check=False, capture_output=True)


@pytest.mark.parametrize("types", [False, True])
def test_docker_pulls_what_was_pushed(docker: Docker, registry: Registry, tmp_path: Path, types: bool) -> None:
    layout, _ = images.simple(100_000)
    target = f"{registry.host}/engine/t{int(types)}:v1"
    pushed = push(layout.archive(tmp_path / "in.tar"), target, docker=types)
    pulled = docker("pull", target)
    assert pulled.returncode == 0, pulled.stderr
    said = json.loads(docker("image", "inspect", target).stdout)[0]
    assert said["RepoDigests"] == [pushed.reference]
    assert len(said["RootFS"]["Layers"]) == 2
    docker("rmi", target)


def test_docker_loads_what_was_pulled_and_pushes_it_for_smith(
    docker: Docker, registry: Registry, tmp_path: Path
) -> None:
    layout, _ = images.simple(100_000)
    first, second = f"{registry.host}/engine/first:v1", f"{registry.host}/engine/second:v2"
    push(layout.archive(tmp_path / "in.tar"), first)
    for name in ("pulled.tar", "pulled.tar.gz"):
        pull(first, tmp_path / name)
        loaded = docker("load", "-i", str(tmp_path / name))
        assert loaded.stdout.strip() == f"Loaded image: {first}", loaded.stderr
    docker("tag", first, second)
    sent = docker("push", second)
    assert sent.returncode == 0, sent.stderr
    pulled = pull(second, tmp_path / "back.tar")
    assert str(pulled.descriptor["digest"]) in sent.stdout
    docker("save", "-o", str(tmp_path / "saved.tar"), first)
    again = push(tmp_path / "saved.tar", f"{registry.host}/engine/saved:v1", tag="v1")
    assert docker("pull", again.reference).returncode == 0
    docker("rmi", "-f", first, second, again.reference)
