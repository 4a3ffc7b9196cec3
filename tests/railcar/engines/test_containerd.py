"""containerd's runc shim with railcar as its binary, by ctr."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import Engine, containerd, talk, until
from engine_support.actions import RESIZE


@pytest.fixture(scope="module")
def ctr(image: Path, place: Path) -> Iterator[Engine]:
    # The namespace is a group too, above those of its containers.
    namespace = f"railcar-engine-{os.getpid()}"
    config = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]'
    with containerd.started(place, config, image, namespace, namespace) as engine:
        yield engine


IMAGE = "docker.io/library/box:latest"


@pytest.fixture
def options(runtime: str) -> tuple[str, ...]:
    return ("--snapshotter", "native", "--runc-binary", runtime)


def status(ctr: Engine, name: str) -> str:
    for line in ctr.ok("tasks", "ls").splitlines():
        if line.split()[0] == name:
            return line.split()[2]
    return "none"


def test_run(ctr: Engine, options: tuple[str, ...]) -> None:
    done = ctr("run", "--rm", *options, "--env", "A=1", IMAGE, ctr.name(), "sh", "-c", "echo $A $$; exit 4")
    assert (done.stdout.strip(), done.returncode) == ("1 1", 4), done.stderr


def test_terminal_with_resize(ctr: Engine, options: tuple[str, ...]) -> None:
    name, steps = ctr.name(), [("ready", ""), ("resized", "7\n")]
    said, code = talk(ctr, "run", "--rm", "-t", *options, IMAGE, name, "sh", "-c", RESIZE, steps=steps, size=(33, 77))
    assert code == 7, said


def test_exec_on_a_terminal(ctr: Engine, options: tuple[str, ...]) -> None:
    name, steps = ctr.name(), [("ready", ""), ("resized", "5\n")]
    ctr.ok("run", "-d", *options, IMAGE, name, "sleep", "1000")
    words = ("tasks", "exec", "-t", "--exec-id", "one", name, "sh", "-c", RESIZE)
    said, code = talk(ctr, *words, steps=steps, size=(33, 77))
    assert code == 5, said
    ctr.ok("tasks", "rm", "--force", name)


def test_limits(ctr: Engine, options: tuple[str, ...]) -> None:
    more = ("--memory-limit", str(64 << 20), "--read-only", "--cwd", "/tmp", "--cap-drop", "CAP_KILL")
    name = ctr.name()
    ctr.ok("run", "-d", *options, *more, IMAGE, name, "sleep", "1000")
    assert str(64 << 20) in ctr.ok("tasks", "metrics", "--format", "json", name)
    done = ctr("tasks", "exec", "--exec-id", "one", name, "sh", "-c", "pwd; touch /x")
    assert done.stdout.strip() == "/tmp"
    assert "Read-only" in done.stderr
    ctr.ok("tasks", "rm", "--force", name)


def test_what_cannot_run_is_named(ctr: Engine, options: tuple[str, ...]) -> None:
    done = ctr("run", "--rm", *options, IMAGE, ctr.name(), "nope")
    assert done.returncode != 0
    assert "nope" in done.stderr
    assert "executable file not found" in done.stderr


def test_life(ctr: Engine, options: tuple[str, ...]) -> None:
    name = ctr.name()
    ctr.ok("run", "-d", *options, IMAGE, name, "sleep", "1000")
    assert status(ctr, name) == "RUNNING"
    done = ctr("tasks", "exec", "--exec-id", "one", "--cwd", "/tmp", name, "sh", "-c", "pwd; exit 3")
    assert (done.stdout.strip(), done.returncode) == ("/tmp", 3), done.stderr
    assert "1000" in ctr.ok("tasks", "exec", "--exec-id", "two", "--user", "1000", name, "id", "-u")
    assert len(ctr.ok("tasks", "ps", name).splitlines()) == 2
    ctr.ok("tasks", "pause", name)
    assert status(ctr, name) == "PAUSED"
    ctr.ok("tasks", "resume", name)
    assert status(ctr, name) == "RUNNING"
    assert "pids" in ctr.ok("tasks", "metrics", name)
    ctr.ok("tasks", "kill", "--signal", "SIGKILL", name)
    until(lambda: status(ctr, name) == "STOPPED", "the task to stop")
    assert ctr("tasks", "rm", name).returncode in (0, 137)
    ctr.ok("containers", "rm", name)
