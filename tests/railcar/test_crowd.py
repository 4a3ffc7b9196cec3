"""Many containers at once, and two commands at once on one: the machine afterwards is as it was before.

The `runner` looks for what is left of its names: mounts, cgroups, processes, state. RAILCAR_CROWD is another number of
containers, as for an emulated processor.
"""

import itertools
import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]
CROWD = int(os.environ.get("RAILCAR_CROWD", "500"))
AT_ONCE = 4
COMMANDS: dict[str, list[str]] = {
    "create": ["create", "--bundle", "BUNDLE", "ID"],
    "run": ["run", "--detach", "--bundle", "BUNDLE", "ID"],
    "start": ["start", "ID"],
    "state": ["state", "ID"],
    "kill": ["kill", "ID", "KILL"],
    "delete": ["delete", "ID"],
    "delete-force": ["delete", "--force", "ID"],
    "exec": ["exec", "ID", "true"],
    "pause": ["pause", "ID"],
    "resume": ["resume", "ID"],
    "update": ["update", "--pids-limit", "50", "ID"],
    "ps": ["ps", "ID"],
    "events": ["events", "--stats", "ID"],
    "list": ["list"],
}


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_crowd_leaves_the_machine_as_it_was(runner: Any, bundle: MakeBundle) -> None:
    made = bundle("sleep", "100000", docker=True)
    before = descriptors()

    def live(name: str) -> str:
        runner.ok("create", "--bundle", made.path, name)
        runner.ok("start", name)
        said: str = runner.ok("exec", name, "hostname")
        runner.ok("delete", "--force", name)
        return said

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(live, [runner.id() for _ in range(CROWD)])) == {"container\n"}
    assert json.loads(runner.ok("list", "--format", "json")) in (None, [])
    assert descriptors() == before


def at_once(
    runner: Any, name: str, path: Path, commands: tuple[str, str], wait_until: Any
) -> list[tuple[str, int, str]]:
    """Start both, one after the other without a pause; (command, exit code, standard error) of each."""
    started = []
    for number, command in enumerate(commands):
        words = [str(path) if word == "BUNDLE" else name if word == "ID" else word for word in COMMANDS[command]]
        errors = runner.root.parent / f"errors-{number}"
        with errors.open("wb") as file:
            null = subprocess.DEVNULL
            process = subprocess.Popen(runner.argv(*words), stdin=null, stdout=null, stderr=file)
        started.append((command, process, errors))
    if "pause" in commands:
        # What was frozen on its way in goes on when the container does.
        started[commands.index("pause")][1].wait(timeout=120)
        wait_until(lambda: runner("resume", name) and all(process.poll() is not None for _, process, _ in started))
    return [(command, process.wait(timeout=120), errors.read_text()) for command, process, errors in started]


@pytest.mark.parametrize("first", list(COMMANDS))
def test_two_commands_at_once_never_corrupt_a_container(
    runner: Any, bundle: MakeBundle, wait_until: Any, first: str
) -> None:
    made = bundle("sleep", "100000")
    made.config["linux"]["resources"] = {"pids": {"limit": 100}}
    made.write()
    seconds = list(COMMANDS)[list(COMMANDS).index(first) :]
    for second, status in itertools.product(seconds, ("created", "running")):
        name = runner.id()
        runner.ok("create", "--bundle", made.path, name)
        if status == "running":
            runner.ok("start", name)
        ended = at_once(runner, name, made.path, (first, second), wait_until)
        for command, code, said in ended:
            assert code in (0, 1, 137, 255) or (command, code) in (("create", -9), ("run", -9)), (ended, status)
            assert "Traceback" not in said, (ended, status)
            assert "in a way it should not" not in said, (ended, status)
        if (runner.root / name / "state.json").exists():
            assert runner.state(name)["id"] == name
        runner.ok("delete", "--force", name)
        assert not (runner.root / name).exists(), (ended, status)
