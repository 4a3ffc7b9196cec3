"""create, start, state, kill, delete, run: who may do what when, and what is left."""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]


def test_run_gives_output_and_exit_code(runner: Any, bundle: MakeBundle) -> None:
    done = runner("run", "--bundle", bundle("sh", "-c", "echo out; echo err >&2; exit 7").path, runner.id())
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_run_gives_128_and_the_signal(runner: Any, bundle: MakeBundle) -> None:
    made = bundle("sh", "-c", "kill -9 $$")
    made.config["linux"]["namespaces"] = [{"type": "mount"}]  # process 1 of a pid namespace is immune to itself
    assert runner("run", "--bundle", made.write().path, runner.id()).returncode == 128 + 9


def test_whole_life(runner: Any, bundle: MakeBundle, tmp_path: Path) -> None:
    name, made = runner.id(), bundle("sleep", "1000")
    made.config["annotations"] = {"a.b": "c"}
    made.write()
    assert runner("create", "--bundle", made.path, "--pid-file", tmp_path / "pid", name).stdout == ""
    state = runner.state(name)
    assert list(state) == ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"]
    assert state["status"] == "created"
    assert state["annotations"] == {"a.b": "c"}
    assert state["bundle"] == str(made.path)
    assert (tmp_path / "pid").read_text() == str(state["pid"])
    assert Path(f"/proc/{state['pid']}/cmdline").read_bytes().startswith(b"railcar\0")
    runner.ok("start", name)
    assert runner.state(name)["status"] == "running"
    runner.ok("kill", name, "KILL")
    runner.wait(name, "stopped")
    assert runner.state(name)["pid"] == 0
    runner.ok("delete", name)
    gone = runner("state", name)
    assert gone.returncode == 1
    assert gone.stderr.rstrip().endswith("container does not exist")


def test_waiting_container_is_tiny(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("true", docker=True).path, name)
    rollup = Path(f"/proc/{runner.state(name)['pid']}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    assert pss <= 64, rollup


def test_second_start_is_refused(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "--detach", "--bundle", bundle("sleep", "1000").path, name)
    done = runner("start", name)
    assert done.returncode == 1
    assert "cannot start an already running container" in done.stderr


def test_of_two_starts_at_once_one_wins(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("sleep", "1000").path, name)
    both = [subprocess.Popen(runner.argv("start", name), stderr=subprocess.DEVNULL) for _ in range(4)]
    assert sorted(one.wait(timeout=120) for one in both) == [0, 1, 1, 1]


def test_start_of_a_stopped_container_is_refused(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "--detach", "--bundle", bundle("true").path, name)
    runner.wait(name, "stopped")
    done = runner("start", name)
    assert done.returncode == 1
    assert "has stopped" in done.stderr


def test_same_id_twice_is_refused_and_the_first_lives(runner: Any, bundle: MakeBundle) -> None:
    name, made = runner.id(), bundle("sleep", "1000")
    runner.ok("run", "-d", "--bundle", made.path, name)
    done = runner("create", "--bundle", made.path, name)
    assert done.returncode == 1
    assert "already" in done.stderr
    assert runner.state(name)["status"] == "running"


def test_running_container_is_deleted_by_force_only(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("sleep", "1000").path, name)
    refused = runner("delete", name)
    assert refused.returncode == 1
    assert "is not stopped" in refused.stderr
    runner.ok("delete", "--force", name)
    assert runner("state", name).returncode == 1


def test_delete_of_a_created_container_kills_it(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("true").path, name)
    pid = runner.state(name)["pid"]
    runner.ok("delete", name)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_second_delete_force_succeeds(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("true").path, name)
    runner.ok("delete", "--force", name)
    runner.ok("delete", "--force", name)
    assert runner("delete", name).returncode == 1


def test_kill_of_a_stopped_container_says_so(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("true").path, name)
    runner.wait(name, "stopped")
    done = runner("kill", name)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("container not running")


@pytest.mark.parametrize("word", ["USR1", "SIGUSR1", "10", "sigusr1"])
def test_kill_by_name_and_number(runner: Any, bundle: MakeBundle, word: str, wait_until: Any, tmp_path: Path) -> None:
    name = runner.id()
    with open(tmp_path / "out", "w") as out:
        script = "trap 'echo caught; exit 0' USR1; echo ready; while true; do sleep 0.05; done"
        runner_call = runner.argv("run", "-d", "--bundle", bundle("sh", "-c", script).path, name)
        subprocess.run(runner_call, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=True, timeout=120)
    wait_until(lambda: "ready" in (tmp_path / "out").read_text())
    runner.ok("kill", name, word)
    runner.wait(name, "stopped")
    assert (tmp_path / "out").read_text() == "ready\ncaught\n"


def test_later_edits_of_the_bundle_have_no_effect(runner: Any, bundle: MakeBundle, tmp_path: Path) -> None:
    name, made = runner.id(), bundle("sh", "-c", "echo first")
    with open(tmp_path / "out", "w") as out:
        argv = runner.argv("create", "--bundle", made.path, name)
        subprocess.run(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=True, timeout=120)
    made.config["process"]["args"] = ["sh", "-c", "echo second"]
    made.write()
    runner.ok("start", name)
    runner.wait(name, "stopped")
    assert (tmp_path / "out").read_text() == "first\n"


def test_pid_of_another_boot_is_nobodys(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("sleep", "1000").path, name)
    path = runner.root / name / "state.json"
    record = json.loads(path.read_text())
    pid = record["pid"]
    try:
        path.write_text(json.dumps(record | {"boot_id": "another"}))
        assert runner.state(name)["status"] == "stopped"
        assert runner("kill", name, "KILL").returncode == 1
        path.write_text(json.dumps(record | {"start_time": record["start_time"] + 1}))
        assert runner.state(name)["status"] == "stopped"
        assert runner("kill", name, "KILL").returncode == 1
        os.kill(pid, 0)
    finally:
        path.write_text(json.dumps(record))


def test_state_and_list_do_not_wait_for_the_lock(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("true").path, name)
    lock = os.open(runner.root / name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert runner.state(name)["status"] == "created"
        assert name in runner.ok("list")
        runner.ok("kill", name, "KILL")
    finally:
        os.close(lock)


def test_creates_starts_and_deletes_of_one_id_at_once_leave_nothing(runner: Any, bundle: MakeBundle) -> None:
    """The machine's own checks follow: no cgroup, no process, no state."""
    made, name = bundle("sleep", "1000", docker=True), runner.id()
    null = subprocess.DEVNULL
    create, delete = ["create", "--bundle", str(made.path), name], ["delete", "--force", name]
    for _ in range(6):
        commands = (create, delete, ["start", name], delete, create, ["state", name])
        started = [
            subprocess.Popen(runner.argv(*command), stdin=null, stdout=null, stderr=null) for command in commands
        ]
        for child in started:
            child.wait(timeout=120)
        runner.ok(*delete)
        assert not (runner.root / name).exists()


def test_a_directory_that_another_create_has_made_anew_is_not_taken(tmp_path: Path, monkeypatch: Any) -> None:
    """Two creates and a delete of one id: the first's directory was removed, and the second's stands in its place."""
    from railcar import state
    from railcar.errors import RailcarError

    made = state._make

    def replaced(root: str, container_id: str) -> str:
        path = made(root, container_id)
        os.rmdir(path)
        monkeypatch.setattr(state, "_make", made)
        os.close(state.claim(root, container_id))
        state.write(os.path.join(path, state.INTENT), b"{}")
        return path

    monkeypatch.setattr(state, "_make", replaced)
    with pytest.raises(RailcarError, match="container with given ID already exists"):
        state.claim(str(tmp_path), "box")
    assert (tmp_path / "box" / state.INTENT).exists()


def test_failing_create_leaves_nothing(runner: Any, bundle: MakeBundle) -> None:
    for change in (
        {"mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "t", "options": ["size=nonsense"]}]},
        {"mounts": [{"destination": "/tmp", "type": "bind", "source": "/no/such", "options": ["bind"]}]},
        {"hooks": {"createRuntime": [{"path": "/bin/false"}]}},
        {"hooks": {"createContainer": [{"path": "/bin/false"}]}},
    ):
        made = bundle("true")
        made.config |= change
        name = runner.id()
        done = runner("create", "--bundle", made.write().path, name)
        assert done.returncode == 1, change
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert not (runner.root / name).exists()


def test_container_without_a_process(runner: Any, bundle: MakeBundle) -> None:
    name, made = runner.id(), bundle()
    del made.config["process"]
    runner.ok("create", "--bundle", made.write().path, name)
    done = runner("start", name)
    assert done.returncode == 1
    assert "no process" in done.stderr


def test_foreground_run_forwards_signals(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    script = "trap 'echo caught; exit 5' TERM; echo ready; while true; do sleep 0.05; done"
    argv = runner.argv("run", "--bundle", bundle("sh", "-c", script).path, name)
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == b"caught\n"
    assert child.wait(timeout=120) == 5
    child.stdout.close()


def test_run_keep_leaves_the_stopped_container(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "--keep", "--bundle", bundle("true").path, name)
    assert runner.state(name)["status"] == "stopped"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "-x"])
def test_ids_that_are_none(runner: Any, bundle: MakeBundle, name: str) -> None:
    done = runner("create", "--bundle", bundle("true").path, "--", name)
    if name == "-x":
        assert done.returncode == 0
        runner.ok("delete", "--force", "--", name)
        return
    assert done.returncode == 1
    assert "invalid container id" in done.stderr


def test_console_gives_an_existing_terminal(runner: Any, bundle: MakeBundle, wait_until: Any) -> None:
    ours, theirs = os.openpty()
    made = bundle(
        "sh", "-c", "test -t 0 && test -t 2 && echo a-terminal; readlink /proc/self/fd/0", docker=True, terminal=True
    )
    name = runner.id()
    runner.ok("run", "-d", "--console", os.ttyname(theirs), "--bundle", made.path, name)
    os.close(theirs)
    said = b""
    while b"/dev/" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    assert b"a-terminal" in said
    refused = runner("create", "--console", "/etc/passwd", "--bundle", made.path, runner.id())
    assert refused.returncode == 1
    assert "/etc/passwd" in refused.stderr


def test_another_file_than_config_json(runner: Any, bundle: MakeBundle) -> None:
    made = bundle("echo", "other")
    (made.path / "config.json").rename(made.path / "other.json")
    assert "no config.json in the bundle" in runner("run", "--bundle", made.path, runner.id()).stderr
    assert runner.ok("run", "--config", "other.json", "--bundle", made.path, runner.id()) == "other\n"
    made.config["process"]["args"] = "none"
    (made.path / "other.json").write_text(json.dumps(made.config))
    assert f"{made.path}/other.json: process.args" in runner("run", "-f", "other.json", "-b", made.path, "x").stderr
