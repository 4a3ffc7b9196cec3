"""podman with railcar as its runtime, as root; pods; and pods from Kubernetes' YAML."""

from pathlib import Path

import pytest
from engine_support import Engine, until
from engine_support.actions import RUN, PodmanActions, namespace

POD = """
apiVersion: v1
kind: Pod
metadata: {name: railcar-played}
spec:
  restartPolicy: Never
  containers:
  - name: first
    image: localhost/box
    command: [sh, -c, "echo $TOKEN; sleep 1000"]
    env: [{name: TOKEN, value: played}]
    resources: {limits: {memory: 64Mi}}
"""


@pytest.fixture(scope="module")
def engine(podman: Engine) -> Engine:
    return podman


class TestPodman(PodmanActions):
    pass


def test_health_check(engine: Engine) -> None:
    name = engine.start("--health-cmd", "echo fit >/tmp/fit", "--health-interval", "disable")
    engine.ok("healthcheck", "run", name)
    assert engine.ok("exec", name, "cat", "/tmp/fit") == "fit"
    engine.ok("rm", "--force", "--time", "0", name)


def test_mapped_users(engine: Engine) -> None:
    options = ("--uidmap", "0:200000:1000", "--gidmap", "0:300000:1000")
    said = engine.ok(*RUN, *options, "box", "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u").split()
    assert said == ["0", "200000", "1000", "0", "300000", "1000", "0"]


def test_update(engine: Engine) -> None:
    name = engine.start("--memory", "64m", "--memory-swap", "64m")
    done = engine("update", "--memory", "80m", "--memory-swap", "80m", "--pids-limit", "77", name)
    if "unknown flag: --pids-limit" in done.stderr or "unrecognized command" in done.stderr:
        done = engine("update", "--memory", "80m", "--memory-swap", "80m", name)
    assert done.returncode == 0, done.stderr
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert engine.ok("exec", name, "sh", "-c", script) == str(80 << 20)
    engine.ok("rm", "--force", "--time", "0", name)


def test_bridge(engine: Engine) -> None:
    """Two containers on one bridge, whose network namespaces podman makes: one answers the other."""
    server = engine.name()
    command = ("sh", "-c", "echo up; echo token | nc -l -p 7777; sleep 1000")
    done = engine("run", "-d", "--name", server, "--network", "podman", "box", *command)
    if done.returncode:
        engine("rm", "--force", "--time", "0", server)
        if "netavark" in done.stderr or "network" in done.stderr:
            pytest.skip(f"podman cannot make a bridge here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    address = engine.inspect(server, ".NetworkSettings.Networks.podman.IPAddress")
    script = f"until nc {address} 7777 </dev/null | grep token; do sleep 0.1; done"
    try:
        assert engine.ok("run", "--rm", "--network", "podman", "box", "sh", "-c", script) == "token"
    finally:
        engine.ok("rm", "--force", "--time", "0", server)


def test_pod(engine: Engine) -> None:
    engine.ok("pod", "create", "--name", "pod", "--network", "none", "--share", "pid,ipc,net,uts")
    for name in ("pod-1", "pod-2"):
        engine.ok("run", "-d", "--pod", "pod", "--name", name, "box", "sleep", "1000")
    pids = [engine.inspect(name, ".State.Pid") for name in ("pod-1", "pod-2")]
    for kind in ("pid", "ipc", "net", "uts"):
        assert namespace(pids[0], kind) == namespace(pids[1], kind), kind
    engine.ok("pod", "pause", "pod")
    engine.ok("pod", "unpause", "pod")
    engine.ok("pod", "rm", "--force", "--time", "0", "pod")
    assert engine.ok("ps", "-a", "--format", "{{.Names}}").count("pod-") == 0


def test_play_kube(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    engine.ok("play", "kube", "--network", "none", tmp_path / "pod.yaml")
    assert engine.ok("exec", "railcar-played-first", "sh", "-c", "echo $TOKEN") == "played"
    engine.ok("pod", "rm", "--force", "--time", "0", "railcar-played")


def test_no_limit_of_processes(engine: Engine) -> None:
    script = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
    assert engine.ok(*RUN, "--pids-limit", "-1", "box", "sh", "-c", f"({script})") == "max"


def test_tmpfs_with_a_mode(engine: Engine) -> None:
    """podman asks to copy up what is there, too: the mode is that of the option all the same."""
    options = ("--mount", "type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=1770")
    assert engine.ok(*RUN, *options, "box", "stat", "-c", "%a", "/scratch") == "1770"


def test_kill_while_paused(engine: Engine) -> None:
    name = engine.start()
    engine.ok("pause", name)
    engine.ok("kill", name)
    until(lambda: engine.inspect(name, ".State.Status") == "exited", "the container to end")
    assert engine.inspect(name, ".State.ExitCode") == "137"
    engine.ok("rm", name)
