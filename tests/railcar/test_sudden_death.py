"""SIGKILL of any railcar process at any system call leaves what `delete --force` removes, and nothing else."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]
POINTS = 16


@pytest.fixture(scope="module")
def strace() -> str:
    path = shutil.which("strace")
    if not path:
        pytest.skip("strace is not installed")
    probe = [path, "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=KILL:when=65535", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("strace cannot trace or inject here")
    return path


def record(strace: str, argv: list[str], log: Path, follow: bool) -> list[tuple[str, int]]:
    """The system calls of a run (of its child, with `follow`): name, and the how manieth of that name it is."""
    null = subprocess.DEVNULL
    command = [strace, "-qq", "-o", str(log), *(["-f"] if follow else []), *argv]
    subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=120, check=False)
    counts: dict[tuple[str, str], int] = {}
    found: list[tuple[str, str, int]] = []
    for line in log.read_text(errors="replace").splitlines():
        pid, text = line.split(None, 1) if follow else ("", line)
        name, parenthesis, _ = text.partition("(")
        if not parenthesis or not name.replace("_", "").isalnum():
            continue
        counts[pid, name] = counts.get((pid, name), 0) + 1
        found.append((pid, name, counts[pid, name]))
    pids = list(dict.fromkeys(pid for pid, _, _ in found))
    wanted = pids[1] if follow else ""
    return [(name, count) for pid, name, count in found if pid == wanted]


def strike(strace: str, argv: list[str], at: tuple[str, int], follow: bool) -> bool:
    """Run a command that gets SIGKILL at a system call; whether it did."""
    name, count = at
    null = subprocess.DEVNULL
    inject = f"inject={name}:signal=KILL:when={count}"
    command = [strace, "-qq", "-o", "/dev/null", "-e", inject, *(["-f"] if follow else []), *argv]
    done = subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=120, check=False)
    return done.returncode != 0


def spread(calls: list[tuple[str, int]], first: float, number: int) -> list[tuple[str, int]]:
    """So many of the calls, from a part of them on: before, the interpreter starts."""
    rest = calls[int(len(calls) * first) :]
    return rest[:: max(len(rest) // number, 1)]


@pytest.mark.parametrize(("command", "follow"), [("create", False), ("run", False), ("run", True)])
def test_killed_creation_is_cleaned_up(
    runner: Any, bundle: MakeBundle, strace: str, tmp_path: Path, command: str, follow: bool
) -> None:
    made = bundle("true", docker=True)
    name = runner.id()
    # The first run after an installation has bytecode to write: no other makes the same calls.
    runner.ok("create", "--bundle", made.path, name)
    runner.ok("delete", "--force", name)
    calls = record(strace, runner.argv(command, "--bundle", made.path, name), tmp_path / "log", follow)
    runner.ok("delete", "--force", name)
    assert len(calls) > 30
    killed = 0
    for at in spread(calls, 0.0 if follow else 0.3, POINTS):
        name = runner.id()
        killed += strike(strace, runner.argv(command, "--bundle", made.path, name), at, follow)
        runner("state", name)
        runner.ok("delete", "--force", name)
        assert not (runner.root / name).exists(), at
    assert killed > POINTS // 2


@pytest.mark.parametrize("command", ["start", "delete", "kill", "pause", "resume", "update"])
def test_killed_command_is_cleaned_up(
    runner: Any, bundle: MakeBundle, strace: str, tmp_path: Path, command: str
) -> None:
    made = bundle("sleep", "1000")
    made.config["linux"]["resources"] = {"pids": {"limit": 100}}
    made.write()
    words = [command, *(["--pids-limit", "50"] if command == "update" else [])]

    def prepared() -> str:
        name: str = runner.id()
        runner.ok("create", "--bundle", made.path, name)
        if command == "resume":
            runner.ok("pause", name)
        return name

    name = prepared()
    calls = record(strace, runner.argv(*words, name), tmp_path / "log", False)
    runner.ok("delete", "--force", name)
    for at in spread(calls, 0.6, 6):
        name = prepared()
        strike(strace, runner.argv(*words, name), at, False)
        runner.ok("delete", "--force", name)
        assert not (runner.root / name).exists(), at


def test_killed_exec_leaves_the_container_alone(runner: Any, bundle: MakeBundle, strace: str, tmp_path: Path) -> None:
    name = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("sleep", "1000", docker=True).path, name)
    for follow in (False, True):
        calls = record(strace, runner.argv("exec", name, "true"), tmp_path / "log", follow)
        for at in spread(calls, 0.4, 5):
            strike(strace, runner.argv("exec", name, "true"), at, follow)
            assert runner.state(name)["status"] == "running"
            assert runner.ok("exec", name, "echo", "well") == "well\n"


def test_delete_force_gets_through_while_a_create_hangs(
    runner: Any, bundle: MakeBundle, tmp_path: Path, wait_until: Any
) -> None:
    made, name, token = bundle("true"), runner.id(), tmp_path / "token"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {token}; exec sleep 100000"]}
    made.config["hooks"] = {"createRuntime": [hook]}
    null = subprocess.DEVNULL
    creating = subprocess.Popen(runner.argv("create", "--bundle", made.write().path, name), stdout=null, stderr=null)
    try:
        wait_until(lambda: token.exists() and token.read_text().strip())
        assert runner.state(name)["status"] == "creating"
        runner.ok("delete", "--force", name)
        assert creating.wait(timeout=60) == -9
        assert not (runner.root / name).exists()
    finally:
        creating.kill()
        creating.wait()
        os.kill(int(token.read_text()), 9)
