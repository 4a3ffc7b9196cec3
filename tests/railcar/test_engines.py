"""docker and podman with railcar as their runtime: each engine is the test's own, with its own data, and is ended."""

import json
import os
import pty
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 120


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of a root with busybox."""
    if os.geteuid() != 0:
        pytest.skip("needs root to start an engine")
    busybox = shutil.which("busybox")
    if not busybox or b"ld-linux" in Path(busybox).read_bytes()[:4096]:
        pytest.skip("needs a static busybox")
    root = tmp_path_factory.mktemp("image")
    root.chmod(0o755)
    (root / "bin").mkdir()
    (root / "tmp").mkdir()
    shutil.copy2(busybox, root / "bin/busybox")
    for applet in ("sh", "echo", "cat", "id", "sleep", "true", "ls", "env", "ps"):
        (root / "bin" / applet).symlink_to("busybox")
    tar = root.parent / "image.tar"
    subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)
    return tar


class Engine:
    """An engine's command line."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.argv, self.environment = argv, environment

    def __call__(self, *arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            **keywords,
        )

    def ok(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def docker(railcar: Path, rootfs: Path) -> Iterator[Engine]:
    if not (shutil.which("dockerd") and shutil.which("docker") and shutil.which("containerd")):
        pytest.skip("docker is not installed")
    place = Path(tempfile.mkdtemp(prefix="railcar-docker-", dir="/var/tmp"))
    config = {
        "runtimes": {"railcar": {"path": str(railcar)}},
        "default-runtime": "railcar",
        "data-root": str(place / "data"),
        "exec-root": str(place / "exec"),
        "pidfile": str(place / "pid"),
        "hosts": [f"unix://{place}/sock"],
        "bridge": "none",
        "iptables": False,
        "storage-driver": "vfs",
    }
    (place / "daemon.json").write_text(json.dumps(config))
    with open(place / "log", "w") as log:
        daemon = subprocess.Popen(["dockerd", "--config-file", place / "daemon.json"], stdout=log, stderr=log)
    engine = Engine(["docker", "-H", f"unix://{place}/sock"], dict(os.environ))
    try:
        deadline = time.monotonic() + PATIENCE
        while engine("info").returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not start here: {(place / 'log').read_text()[-400:]}")
            time.sleep(0.1)
        done = engine("import", str(rootfs), "box")
        if done.returncode:
            pytest.skip(f"docker cannot import an image here: {done.stderr[-400:]}")
        yield engine
        engine("rm", "--force", *engine("ps", "-aq").stdout.split())
    finally:
        daemon.terminate()
        daemon.wait(timeout=PATIENCE)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(place) in line.split()[4]:
                subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def podman(railcar: Path, rootfs: Path) -> Iterator[Engine]:
    if not (shutil.which("podman") and shutil.which("conmon")):
        pytest.skip("podman is not installed")
    place = Path(tempfile.mkdtemp(prefix="railcar-podman-", dir="/var/tmp"))
    (place / "containers.conf").write_text(f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "railcar"
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["railcar"]
[engine.runtimes]
railcar = ["{railcar}"]
""")
    (place / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    argv = ["podman", "--root", f"{place}/root", "--runroot", f"{place}/run", "--tmpdir", f"{place}/tmp"]
    argv += ["--storage-driver", "vfs", "--log-level", "error"]
    engine = Engine(argv, dict(os.environ) | {"CONTAINERS_CONF": f"{place}/containers.conf"})
    try:
        policy = ["--signature-policy", f"{place}/policy.json"]
        done = engine("import", *policy, str(rootfs), "box")
        if "unknown flag" in done.stderr:
            done = engine("import", str(rootfs), "box")
        if done.returncode or engine("run", "--rm", "--network", "none", "box", "true").returncode == 125:
            pytest.skip(f"podman does not work here: {done.stderr[-400:]}")
        yield engine
        engine("rm", "--all", "--force", "--time", "0")
    finally:
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(place) in line.split()[4]:
                subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(request.param)
    return found


RUN = ("run", "--rm", "--network", "none")


def talk(argv: list[str], environment: dict[str, str], steps: list[tuple[str, str]]) -> tuple[str, int]:
    """Run on a terminal: wait for each text, then type. All that was said, and the exit code."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    said = ""
    deadline = time.monotonic() + PATIENCE

    def listen() -> bool:
        nonlocal said
        ready, _, _ = select.select([ours], [], [], 1)
        if not ready:
            return True
        try:
            piece = os.read(ours, 65536)
        except OSError:
            return False
        said += piece.decode(errors="replace")
        return bool(piece)

    start = 0
    for wanted, typed in steps:
        while wanted not in said[start:]:
            assert listen(), f"it ended before it said {wanted!r}: {said}"
            assert time.monotonic() < deadline, f"it never said {wanted!r}: {said}"
        start = len(said)
        os.write(ours, typed.encode())
    while listen():
        assert time.monotonic() < deadline, said
    os.close(ours)
    return said, child.wait(timeout=PATIENCE)


def test_hello_world(engine: Engine) -> None:
    assert engine.ok(*RUN, "box", "echo", "hello from inside") == "hello from inside\n"


def test_interactive_shell(engine: Engine) -> None:
    argv = [*engine.argv, *RUN, "-it", "box", "sh"]
    said, code = talk(argv, engine.environment, [("# ", "echo token-$((40+2))\n"), ("token-42", "exit 7\n")])
    assert code == 7, said


@pytest.mark.parametrize(("command", "code"), [("nope", 127), ("/bin/nope", 127), ("/tmp", 126), ("true", 0)])
def test_exit_code_of_what_cannot_run(engine: Engine, command: str, code: int) -> None:
    done = engine(*RUN, "box", command)
    assert done.returncode == code, done.stderr


def test_exit_code_and_options(engine: Engine) -> None:
    options = ["-u", "1000:1000", "--memory", "64m", "--pids-limit", "50", "--read-only", "-e", "A=1", "-w", "/tmp"]
    done = engine(*RUN, *options, "box", "sh", "-c", "id -u; echo $A; pwd; echo x >/x; exit 9")
    assert done.returncode == 9
    assert done.stdout.split() == ["1000", "1", "/tmp"]
    assert "Read-only" in done.stderr


@pytest.fixture
def long(engine: Engine) -> Iterator[str]:
    name = f"railcar-test-{os.getpid()}"
    engine.ok("run", "-d", "--name", name, "--network", "none", "box", "sleep", "1000")
    yield name
    engine("kill", name)
    engine("rm", "--force", name)


def test_life_of_a_container(engine: Engine, long: str) -> None:
    assert engine.ok("exec", long, "echo", "in").strip() == "in"
    assert engine("exec", long, "sh", "-c", "exit 3").returncode == 3
    assert engine("exec", long, "nope").returncode in (126, 127)
    assert "1000" in engine.ok("exec", "-u", "1000", long, "id", "-u")
    assert "sleep 1000" in engine.ok("top", long)
    engine.ok("pause", long)
    assert "aused" in engine.ok("ps", "-a")
    engine.ok("unpause", long)
    engine.ok("stop", "--time", "0", long)
    assert long in engine.ok("ps", "-a")


def test_exec_on_a_terminal(engine: Engine, long: str) -> None:
    argv = [*engine.argv, "exec", "-it", long, "sh"]
    said, code = talk(argv, engine.environment, [("# ", "echo token-$((40+2))\n"), ("token-42", "exit 5\n")])
    assert code == 5, said


def test_restart(engine: Engine, long: str) -> None:
    engine.ok("restart", "--time", "0", long)
    assert engine.ok("exec", long, "echo", "again").strip() == "again"


def test_update_by_docker(docker: Engine) -> None:
    name = f"railcar-test-{os.getpid()}"
    docker.ok("run", "-d", "--name", name, "--network", "none", "box", "sleep", "1000")
    try:
        docker.ok("update", "--pids-limit", "77", name)
        assert '"PidsLimit": 77' in docker.ok("inspect", name)
    finally:
        docker("rm", "--force", name)


@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
def test_buildah_runs_by_railcar(railcar: Path, podman: Engine) -> None:
    options = [word for word in podman.argv[1:] if word not in ("--tmpdir", "--log-level", "error")]
    options = [word for word in options if not word.endswith("/tmp")]
    argv = ["buildah", *options]
    made = subprocess.run(
        [*argv, "from", "localhost/box"],
        env=podman.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if made.returncode:
        pytest.skip(f"buildah does not work here: {made.stderr[-300:]}")
    name = made.stdout.strip()
    command = [*argv, "run", "--runtime", str(railcar), "--network", "none", name, "echo", "built"]
    done = subprocess.run(
        command, env=podman.environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    subprocess.run([*argv, "rm", name], env=podman.environment, capture_output=True, check=False, timeout=PATIENCE)
    assert done.stdout.strip() == "built", done.stderr


def test_engines_find_version_and_features(runner: Callable[..., Any]) -> None:
    assert runner("--version").stdout.splitlines()[0].split()[1] == "version"
    done = runner("features")
    assert {"ociVersionMin", "ociVersionMax"} <= set(json.loads(done.stdout))
    assert done.stderr == ""
