"""What only some machines have: probes, and skips that say what is missing. `nox -s vm` runs all of it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path("/sys/fs/cgroup")


def controllers() -> set[str]:
    """Those of a machine on pure cgroup v2."""
    try:
        return set((ROOT / "cgroup.controllers").read_text().split())
    except OSError:
        return set()


@pytest.fixture
def v2() -> None:
    """For tests of cgroup v2's own controllers."""
    if not {"cpu", "cpuset", "io", "memory", "pids"} <= controllers():
        pytest.skip("needs a machine on cgroup v2 alone, with its controllers: cpu, cpuset, io, memory, pids")


@pytest.fixture
def booted() -> None:
    """For tests of the system's systemd."""
    if not os.path.isdir("/run/systemd/system") or not os.path.exists("/run/dbus/system_bus_socket"):
        pytest.skip("needs a machine that systemd has booted, with its bus")


def effective(name: str) -> bool:
    """Whether this process has a capability."""
    from ocicommon.linux.capabilities import NAMES

    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> NAMES.index(name) & 1)


@pytest.fixture
def resourceful() -> None:
    """For tests that raise what may be raised with CAP_SYS_RESOURCE only."""
    if not effective("CAP_SYS_RESOURCE"):
        pytest.skip("needs CAP_SYS_RESOURCE")


@pytest.fixture
def started(runner: Any) -> Iterator[Callable[..., str]]:
    """Creates and starts a bundle's container, detached; its id. It is gone after the test."""
    names = []

    def start(bundle: Any, *options: str) -> str:
        name = runner.id()
        names.append(name)
        null = subprocess.DEVNULL
        argv = [*runner.argv()[:3], *options, "run", "-d", "--bundle", str(bundle.write().path), name]
        said = bundle.path / "said"
        with said.open("w") as file:
            done = subprocess.run(argv, stdin=null, stdout=file, stderr=file, timeout=120, check=False)
        assert done.returncode == 0, said.read_text()
        return name

    yield start
    for name in names:
        runner("delete", "--force", name)
