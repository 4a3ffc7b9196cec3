"""docker with railcar as the default runtime of a dockerd of the test's own."""

import shutil
from pathlib import Path

import pytest
from engine_support import Engine, until
from engine_support.actions import RUN, Actions


@pytest.fixture(scope="module")
def engine(docker: Engine) -> Engine:
    return docker


class TestDocker(Actions):
    init = ("--init",) if shutil.which("docker-init") else ()


def test_update(engine: Engine) -> None:
    name = engine.start("--memory", "64m", "--memory-swap", "64m")
    engine.ok("update", "--pids-limit", "77", "--memory", "80m", "--memory-swap", "80m", name)
    script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    script += " || cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max"
    assert engine.ok("exec", name, "sh", "-c", script).split()[-2:] == ["77", str(80 << 20)]
    engine.ok("rm", "--force", name)


def test_bridge(engine: Engine) -> None:
    """Two containers on one bridge: one answers the other."""
    if "bridge" not in engine.ok("network", "ls", "--format", "{{.Name}}").split():
        pytest.skip("this kernel has no bridges")
    server = engine.name()
    engine.ok("run", "-d", "--name", server, "box", "sh", "-c", "echo up; echo token | nc -l -p 7777; sleep 1000")
    address = engine.inspect(server, ".NetworkSettings.IPAddress")
    script = f"until nc {address} 7777 </dev/null | grep token; do sleep 0.1; done"
    try:
        assert engine.ok("run", "--rm", "box", "sh", "-c", script) == "token"
    finally:
        engine.ok("rm", "--force", server)


def test_health_check(engine: Engine) -> None:
    name = engine.start("--health-cmd", "echo fit >/tmp/fit", "--health-interval", "1s", "--health-timeout", "100s")
    until(lambda: engine.inspect(name, ".State.Health.Status") == "healthy", "the container to be healthy")
    assert engine.ok("exec", name, "cat", "/tmp/fit") == "fit"
    engine.ok("rm", "--force", name)


def test_build(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM box\nRUN echo $$ >/built\nRUN test -s /built\nCMD cat /built\n")
    engine.ok("build", "--network", "none", "-t", "built", tmp_path)
    assert engine.ok(*RUN, "built") == "1"
