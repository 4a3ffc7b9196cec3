"""docker with userns-remap: every container in a user namespace whose ids are those of a user's range."""

import pytest
from engine_support import Engine
from engine_support.actions import RUN


@pytest.fixture(scope="module")
def daemon_options() -> dict[str, str]:
    return {"userns-remap": "games"}


def test_remapped(docker: Engine) -> None:
    script = "cat /proc/self/uid_map; id -u; touch /x && stat -c %u /x"
    said = docker.ok(*RUN, "box", "sh", "-c", script).split()
    assert said == ["0", "200000", "65536", "0", "0"]


def test_exec_and_kill(docker: Engine) -> None:
    name = docker.start()
    assert docker.ok("exec", "-u", "7", name, "id", "-u") == "7"
    docker.ok("kill", name)
    docker.ok("rm", "--force", name)


def test_host_namespaces_on_demand(docker: Engine) -> None:
    said = docker.ok(*RUN, "--userns", "host", "box", "cat", "/proc/self/uid_map").split()
    assert said[:2] == ["0", "0"]
