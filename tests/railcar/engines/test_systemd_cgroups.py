"""docker and podman that ask systemd for their containers' cgroups, as most machines have them: the same actions."""

from pathlib import Path
from typing import Any

import pytest
from engine_support import Engine
from engine_support.actions import Actions, PodmanActions


@pytest.fixture(scope="module", autouse=True)
def systemd() -> None:
    if not Path("/run/systemd/system").is_dir():
        pytest.skip("systemd did not boot this machine")
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("this machine's cgroups are not the unified ones")


@pytest.fixture(scope="module")
def daemon_options() -> dict[str, Any]:
    return {"exec-opts": ["native.cgroupdriver=systemd"]}


@pytest.fixture(scope="module")
def cgroup_manager() -> str:
    return "systemd"


def unit(engine: Engine, name: str) -> str:
    """The systemd unit that a container's first process is in."""
    group = Path(f"/proc/{engine.inspect(name, '.State.Pid')}/cgroup").read_text().strip()
    return next(part for part in reversed(group.split("/")) if part.endswith((".scope", ".service")))


class TestDocker(Actions):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, docker: Engine) -> Engine:
        return docker

    def test_unit(self, engine: Engine, long: str) -> None:
        identity = engine.inspect(long, ".Id")
        assert unit(engine, long) == f"docker-{identity}.scope"


class TestPodman(PodmanActions):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, podman: Engine) -> Engine:
        return podman

    def test_unit(self, engine: Engine, long: str) -> None:
        identity = engine.inspect(long, ".Id")
        assert unit(engine, long) == f"libpod-{identity}.scope"
