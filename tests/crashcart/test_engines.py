"""Containers of real engines, each started for the test with its own storage, are found by name and entered."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import crashcart_support as support
import pytest
from crashcart_support import engines
from crashcart_support.engines import SLEEP, ended, need, run

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory, tools: Path, can_mount: None) -> Iterator[list[str]]:
    """A docker of the test's own, with an image called tools; the words that start its command."""
    with engines.docker(tmp_path_factory.mktemp("docker"), tools) as client:
        yield client


@pytest.fixture
def docker_container(docker: list[str], traces: support.Traces) -> Iterator[Callable[..., int]]:
    """Starts a container by name with more options; its pid."""
    names: list[str] = []

    def start(name: str, *options: str) -> int:
        done = run([*docker, "run", "-d", "--name", name, "--network", "none", *options, "tools", *SLEEP])
        if done.returncode:
            run([*docker, "rm", "-f", name])
            pytest.skip(f"docker cannot run a container here: {done.stderr.strip()}")
        names.append(name)
        pid = int(run([*docker, "inspect", "-f", "{{.State.Pid}}", name]).stdout)
        traces.watch(pid)
        return pid

    yield start
    try:
        traces.check()
    finally:
        for name in names:
            run([*docker, "rm", "-f", name])


def test_docker_container_is_entered_by_name_id_and_prefix(
    docker: list[str], docker_container: Callable[..., int], crashcart: Path, image: Path
) -> None:
    docker_container("web", "--hostname", "inside")
    id = run([*docker, "inspect", "-f", "{{.Id}}", "web"]).stdout.strip()
    environment = {"DOCKER_HOST": docker[2]}
    for name in ("web", id, id[:10], f"docker:{id[:10]}"):
        done = run([str(crashcart), "-i", str(image), name, "cat", "/proc/sys/kernel/hostname"], environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "inside\n", "")


KINDS = {
    "read-only": ("--read-only",),
    "user": ("--user", "1000:1000"),
    "no-capabilities": ("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    "host-pid": ("--pid", "host"),
    "host-network": ("--network", "host"),
    "small-memory": ("--memory", "8m"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_docker_container_of_a_kind_is_entered(
    kind: str, docker: list[str], docker_container: Callable[..., int], crashcart: Path, image: Path
) -> None:
    options = KINDS[kind]
    if "host" in options and "--network" in options:
        pid = _host_network(docker)
        try:
            words = [str(crashcart), "-i", str(image), str(pid), "cat", "/dev/crashcart/etc/marker"]
            assert run(words).stdout == "tools\n"
        finally:
            run([*docker, "rm", "-f", "hostnet"])
        return
    docker_container("kind", *options)
    words = [str(crashcart), "-i", str(image), "kind", "cat", "/dev/crashcart/etc/marker"]
    done = run(words, {"DOCKER_HOST": docker[2]})
    assert (done.returncode, done.stdout, done.stderr) == (0, "tools\n", "")


def _host_network(docker: list[str]) -> int:
    done = run([*docker, "run", "-d", "--name", "hostnet", "--network", "host", "tools", *SLEEP])
    if done.returncode:
        run([*docker, "rm", "-f", "hostnet"])
        pytest.skip(f"docker cannot use the host's network here: {done.stderr.strip()}")
    return int(run([*docker, "inspect", "-f", "{{.State.Pid}}", "hostnet"]).stdout)


def test_strict_session_has_what_docker_exec_has(
    docker: list[str], docker_container: Callable[..., int], crashcart: Path, image: Path
) -> None:
    docker_container("strict", "--user", "1000:1000")
    command = ["/bin/grep", "-E", "^(Uid|Gid|Cap|NoNewPrivs|Seccomp:)", "/proc/self/status"]
    words = [str(crashcart), "-i", str(image), "--profile", "strict", "strict", *command]
    mine = run(words, {"DOCKER_HOST": docker[2]})
    assert mine.returncode == 0, mine.stderr
    assert mine.stdout == run([*docker, "exec", "strict", *command]).stdout


def test_paused_docker_container_is_resumed_on_demand(
    docker: list[str], docker_container: Callable[..., int], crashcart: Path, image: Path
) -> None:
    docker_container("paused")
    if run([*docker, "pause", "paused"]).returncode:
        pytest.skip("docker cannot pause here")
    environment = {"DOCKER_HOST": docker[2]}
    words = [str(crashcart), "-i", str(image)]
    done = run([*words, "paused", "echo", "in"], environment)
    assert (done.returncode, done.stdout) == (0, "in\n")
    assert "is paused" in done.stderr
    done = run([*words, "--resume", "paused", "echo", "in"], environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")
    assert run([*docker, "inspect", "-f", "{{.State.Paused}}", "paused"]).stdout == "false\n"


def test_engine_runs_the_command_between_mount_and_unmount(
    docker: list[str], docker_container: Callable[..., int], crashcart: Path, image: Path, traces: support.Traces
) -> None:
    docker_container("exec")
    words = [str(crashcart), "-i", str(image), "-e", "exec", "sh", "-c", "cat /dev/crashcart/etc/marker; exit 6"]
    done = run(words, {"DOCKER_HOST": docker[2]})
    assert (done.returncode, done.stdout) == (6, "tools\n"), done.stderr
    traces.check()


def test_docker_containers_are_listed(docker: list[str], docker_container: Callable[..., int], crashcart: Path) -> None:
    pid = docker_container("listed")
    done = run([str(crashcart), "list", "--json"], {"DOCKER_HOST": docker[2]})
    assert done.returncode == 0, done.stderr
    (found,) = [one for one in json.loads(done.stdout) if one["pid"] == pid]
    assert (found["engine"], found["name"], found["image"], found["status"]) == ("docker", "listed", "tools", "running")
    table = run([str(crashcart), "list"], {"DOCKER_HOST": docker[2]}).stdout.splitlines()
    assert table[0].split() == ["ENGINE", "ID", "NAME", "PID", "IMAGE", "STATUS", "AGE"]
    assert any(line.split()[2] == "listed" for line in table[1:])


@pytest.fixture
def containerd(tmp_path: Path, can_mount: None) -> Iterator[tuple[list[str], Path]]:
    """A containerd of the test's own: (the words that start ctr, its state directory)."""
    need("containerd", "ctr", "runc")
    state = tmp_path / "state"
    address = tmp_path / "containerd.sock"
    config = tmp_path / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    words = ["containerd", "--config", str(config), "--root", str(tmp_path / "root"), "--state", str(state)]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [*words, "--address", str(address)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        client = ["ctr", "--address", str(address)]
        support.until(
            lambda: process.poll() is not None or run([*client, "version"]).returncode == 0, "containerd does not start"
        )
        if process.poll() is not None:
            pytest.skip(f"containerd does not start here: {(tmp_path / 'log').read_text()[-500:]}")
        yield client, state
    finally:
        if process.poll() is None:
            ended(process)


def test_kubernetes_container_of_containerd_is_entered(
    containerd: tuple[list[str], Path], crashcart: Path, image: Path, tools: Path, traces: support.Traces
) -> None:
    client, state = containerd
    client = [*client, "-n", "k8s.io"]
    id = os.urandom(32).hex()  # not fixed: its cgroup would be that of any other run
    label = "io.kubernetes.cri.container-name=web"
    start = [*client, "run", "-d", "--rootfs", "--annotation", label, str(tools), id, *SLEEP]
    done = run(start)
    if done.returncode:
        pytest.skip(f"containerd cannot run a container here: {done.stderr.strip()}")
    try:
        words = [str(crashcart), "-i", str(image), "--root", str(state)]
        for name in (id, id[:12], f"k8s.io/{id}", f"containerd:{id[:12]}", "web"):
            done = run([*words, name, "cat", "/dev/crashcart/etc/marker"])
            assert (done.returncode, done.stdout, done.stderr) == (0, "tools\n", ""), name
        traces.check()
    finally:
        run([*client, "tasks", "kill", "-s", "KILL", id])
        support.until(lambda: "RUNNING" not in run([*client, "tasks", "ls"]).stdout, "the container does not end")
        run([*client, "tasks", "rm", id])
        run([*client, "containers", "rm", id])


def test_podman_container_is_entered_by_name(
    crashcart: Path, image: Path, tools: Path, tmp_path: Path, traces: support.Traces
) -> None:
    need("podman", "conmon")
    podman = engines.Podman(tmp_path)
    try:
        id = podman.start("pod", "--rootfs", str(tools))
        for name in ("pod", id, id[:9]):
            found = run(
                [str(crashcart), "-i", str(image), name, "cat", "/dev/crashcart/etc/marker"], podman.environment
            )
            assert (found.returncode, found.stdout, found.stderr) == (0, "tools\n", ""), name
    finally:
        podman.end("pod")
