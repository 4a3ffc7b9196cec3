"""podman with railcar as its runtime, as root and as a user; pods; and pods from Kubernetes' YAML."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import Engine, clear, until
from engine_support.actions import RUN, Actions, namespace

INITS = [shutil.which(name) for name in ("catatonit", "docker-init", "tini-static")]
# A container's init is bound into an image that has no loader: it must be static.
INIT = next((path for path in INITS if path and b"/ld-linux" not in Path(path).read_bytes()[:4096]), None)
USER = 65534
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


class TestPodman(Actions):
    init = ("--init", "--init-path", INIT) if INIT else ()
    shared = "rprivate"

    def test_out_of_memory(self, engine: Engine) -> None:
        """A kill for memory ends the container with 137; conmon does not report it as one on cgroup v1."""
        command = ("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1")
        name = engine.start("--memory", "32m", "--memory-swap", "32m", command=command)
        until(lambda: engine.inspect(name, ".State.Status") == "exited", "the container to end")
        assert engine.inspect(name, ".State.ExitCode") == "137"
        engine.ok("rm", name)


def test_health_check(engine: Engine) -> None:
    name = engine.start("--health-cmd", "echo fit >/tmp/fit", "--health-interval", "disable")
    engine.ok("healthcheck", "run", name)
    assert engine.ok("exec", name, "cat", "/tmp/fit") == "fit"
    engine.ok("rm", "--force", "--time", "0", name)


def test_mapped_users(engine: Engine) -> None:
    options = ("--uidmap", "0:200000:1000", "--gidmap", "0:300000:1000")
    said = engine.ok(*RUN, *options, "box", "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u").split()
    assert said == ["0", "200000", "1000", "0", "300000", "1000", "0"]


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


@pytest.fixture(scope="module")
def rootless(runtime: str, rootfs: Path) -> Iterator[Engine]:
    """podman of a user with no more ids than its own."""
    for program in ("podman", "conmon", "setpriv"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    home = Path(tempfile.mkdtemp(prefix="railcar-rootless-", dir="/var/tmp"))
    shutil.copy(rootfs, home / "rootfs.tar")
    (home / "run").mkdir(mode=0o700)
    (home / "containers.conf").write_text(f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "railcar"
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["railcar"]
[engine.runtimes]
railcar = ["{runtime}"]
""")
    subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
    environment = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "PATH": os.environ["PATH"],
        "CONTAINERS_CONF": str(home / "containers.conf"),
    }
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    if subprocess.run([*user, runtime, "--version"], check=False, capture_output=True).returncode:
        pytest.skip("the installed command lies where another user may not go")
    argv = [*user, "podman", "--root", f"{home}/root", "--runroot", f"{home}/run/storage", "--storage-driver", "vfs"]
    engine = Engine([*argv, "--log-level", "error"], environment)
    done = engine("import", "--change", "ENV=PATH=/bin", home / "rootfs.tar", "box", cwd=home)
    if done.returncode:
        pytest.skip(f"podman does not work without root here: {done.stderr[-400:]}")
    yield engine
    engine("rm", "--all", "--force", "--time", "0", cwd=home)
    engine("system", "migrate", cwd=home)
    clear(home)


def test_rootless(rootless: Engine) -> None:
    command = ("sh", "-c", "id -u; cat /proc/self/uid_map; echo token >/tmp/x; cat /tmp/x")
    done = rootless(*RUN, "box", *command, cwd="/")
    assert done.stdout.split() == ["0", "0", str(USER), "1", "token"], done.stderr


def test_rootless_life(rootless: Engine) -> None:
    name = rootless.start()
    assert rootless.ok("exec", name, "echo", "in") == "in"
    rootless.ok("kill", name)
    rootless.ok("rm", "--force", "--time", "0", name)
