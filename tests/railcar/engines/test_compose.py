"""docker compose with railcar as the default runtime: services on a network of their own, one waits for another."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import Engine, until

SERVICES = """
version: "2.4"
services:
  server:
    image: box
    command: [sh, -c, "echo up; while :; do echo token | nc -l -p 7777; done"]
    init: {init}
    mem_limit: 64m
    healthcheck: {{test: [CMD, "true"], interval: 1s, timeout: 100s}}
  client:
    image: box
    command: [sh, -c, "until nc server 7777 </dev/null | grep token; do sleep 0.1; done; sleep 1000"]
    depends_on: {{server: {{condition: service_healthy}}}}
    environment: {{A: "1 2"}}
    tmpfs: /scratch
"""


@pytest.fixture
def compose(docker: Engine, tmp_path: Path) -> Iterator[Engine]:
    if "bridge" not in docker.ok("network", "ls", "--format", "{{.Name}}").split():
        pytest.skip("this kernel has no bridges")
    if docker("compose", "version").returncode == 0:
        argv = [*docker.argv, "compose"]
    elif shutil.which("docker-compose"):
        argv = ["docker-compose", "--host", docker.argv[2]]
    else:
        pytest.skip("docker compose is not installed (Debian: docker-compose)")
    file = tmp_path / "compose.yaml"
    file.write_text(SERVICES.format(init=str(bool(shutil.which("docker-init"))).lower()))
    project = f"railcar-test-{os.getpid()}"
    engine = Engine([*argv, "--file", str(file), "--project-name", project], docker.environment, tmp_path, docker.host)
    yield engine
    engine("down", "--timeout", "0")


def test_services(compose: Engine) -> None:
    compose.ok("up", "--detach")
    until(lambda: "token" in compose.ok("logs", "client"), "the client to hear from the server")
    assert compose.ok(
        "exec", "-T", "client", "sh", "-c", "echo $A; grep -c ' /scratch tmpfs' /proc/mounts"
    ).split() == [
        "1",
        "2",
        "1",
    ]
    compose.ok("restart", "--timeout", "0", "server")
    compose.ok("pause", "server")
    compose.ok("unpause", "server")
    assert "sleep" in compose.ok("top", "client")
    compose.ok("down", "--timeout", "0")
    assert compose.ok("ps", "-q") == ""
