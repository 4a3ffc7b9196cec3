"""Hooks of all six kinds: order, namespaces, directory, state, environment, timeout, and what a failure does."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
IN_HOST = ("prestart", "createRuntime", "poststart", "poststop")
BEFORE_READY = ("prestart", "createRuntime", "createContainer")


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **more}


@pytest.fixture
def logged(box: Any) -> Any:
    """A box with a directory that host and container both see as $LOG."""
    (box.directory / "log").mkdir()
    box.add("/log", "", "log", "bind")
    return box


def log_of(box: Any, kind: str) -> str:
    return "/log" if kind == "startContainer" else f"{box.directory}/log"


def hook(box: Any, *kinds: str, script: str = "exit 0", **more: Any) -> None:
    for kind in kinds:
        ready = script.replace("$LOG", log_of(box, kind)).replace("$KIND", kind)
        box.config.setdefault("hooks", {}).setdefault(kind, []).append(shell(ready, **more))


def lines(box: Any, name: str) -> list[str]:
    path = box.directory / "log" / name
    return path.read_text().splitlines() if path.exists() else []


def test_line_015_to_020_order(logged: Any) -> None:
    hook(logged, *KINDS, script="echo $KIND 1 >> $LOG/order")
    hook(logged, *KINDS, script="echo $KIND 2 >> $LOG/order")
    logged.run("echo process >> /log/order")
    order = lines(logged, "order")
    assert sorted(order) == sorted([f"{kind} {n}" for kind in KINDS for n in (1, 2)] + ["process"])
    # What follows the start is not ordered against the process itself.
    without = [line for line in order if line != "process"]
    assert without == [f"{kind} {n}" for kind in KINDS for n in (1, 2)]
    assert order.index("startContainer 2") < order.index("process") < order.index("poststop 1")


@pytest.mark.parametrize("kind", KINDS)
def test_line_015_to_020_namespace_and_directory(logged: Any, kind: str) -> None:
    hook(logged, kind, script="readlink /proc/self/ns/mnt > $LOG/ns; pwd > $LOG/cwd; ls / > $LOG/root")
    logged.run("readlink /proc/self/ns/mnt > /log/inner")
    namespace, inner = lines(logged, "ns"), lines(logged, "inner")
    if kind in IN_HOST:
        assert namespace == [os.readlink("/proc/self/ns/mnt")]
        assert lines(logged, "cwd") == [str(logged.directory)]
    else:
        assert namespace == inner
        assert lines(logged, "cwd") == ["/" if kind == "startContainer" else str(logged.root)]
    # createContainer runs in the container's namespace, before its root is entered.
    assert ("usr" in lines(logged, "root")) == (kind != "startContainer")


@pytest.mark.parametrize("kind", KINDS)
def test_line_021_a_hook_that_never_ends_is_ended(logged: Any, kind: str) -> None:
    hook(logged, kind, script="echo $$ > $LOG/pid; exec sleep 1000", timeout=1)
    done = logged.run("true", fails=kind != "poststop")
    assert f"error running {kind} hook #0: /bin/sh: it ran past its timeout of 1 s" in done.stderr
    if kind in IN_HOST:  # the others see pids of the container's namespace, which ends with it
        # On a slow machine its time may be over before it has said who it is.
        assert [pid for pid in lines(logged, "pid") if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_line_022_the_environment_is_the_hooks_own(logged: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("STRAY", "host")
    logged.config["process"]["env"] = ["PATH=/bin", "LD_PRELOAD=/evil.so"]
    copy = ["cp", "/proc/self/environ", f"{log_of(logged, kind)}/environ"]
    environment = ["A=b", "PATH=/usr/bin:/bin", "A=c"]
    logged.config["hooks"] = {kind: [{"path": "/bin/cp", "args": copy, "env": environment}]}
    logged.run("true")
    found = (logged.directory / "log/environ").read_bytes().split(b"\0")
    assert sorted(entry for entry in found if entry) == [b"A=c", b"PATH=/usr/bin:/bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_line_023_the_state_is_on_standard_input(logged: Any, kind: str) -> None:
    logged.config["annotations"] = {"org.example": "yes"}
    hook(logged, kind, script="cat > $LOG/state")
    logged.run("true")
    state = json.loads((logged.directory / "log/state").read_text())
    expected = {
        "prestart": "creating",
        "createRuntime": "creating",
        "createContainer": "creating",
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    assert state["status"] == expected[kind]
    assert state["id"] == logged.directory.name
    assert state["bundle"] == str(logged.directory)
    assert state["annotations"] == {"org.example": "yes"}
    assert state["ociVersion"]
    if kind not in ("poststop",):
        assert state["pid"] > 0


@pytest.mark.parametrize("kind", BEFORE_READY)
def test_line_015_to_017_a_failure_before_the_container_is_made_fails_the_creation(logged: Any, kind: str) -> None:
    hook(logged, kind, script="echo first >> $LOG/ran")
    hook(logged, kind, script="echo the reason >&2; exit 3")
    hook(logged, kind, script="echo third >> $LOG/ran")
    done = logged.run("echo process >> /log/ran", fails=True)
    assert f"error running {kind} hook #1: /bin/sh: exit status 3" in done.stderr
    assert "the reason" in done.stderr
    assert lines(logged, "ran") == ["first"]
    assert list((logged.directory / "state").glob("*/state.json")) == []


def test_line_018_a_failing_start_hook_keeps_the_process_from_running(logged: Any) -> None:
    hook(logged, "startContainer", script="exit 4")
    hook(logged, "startContainer", script="echo second >> $LOG/ran")
    hook(logged, "poststop", script="echo poststop >> $LOG/ran")
    done = logged.run("echo process >> /log/ran", fails=True)
    assert "error running startContainer hook #0: /bin/sh: exit status 4" in done.stderr
    assert lines(logged, "ran") == ["poststop"]


def test_line_018_start_hooks_are_what_the_process_is(logged: Any) -> None:
    """Its user, groups, limits and capabilities, and its seccomp filter: as under runc."""
    wanted = "^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap|Umask)"
    look = f"grep -E '{wanted}' /proc/self/status; ulimit -n; pwd; mkdir /tmp/refused || echo refused"
    logged.add("/tmp", "tmpfs", "tmpfs", "mode=1777")
    hook(logged, "startContainer", script=f"{{ {look}; }} > $LOG/hook 2>/dev/null")
    process = logged.config["process"]
    process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [10], "umask": 0o27}
    process["cwd"] = "/tmp"
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
    process["capabilities"]["inheritable"] = process["capabilities"]["ambient"] = ["CAP_KILL"]
    logged.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    (logged.directory / "log").chmod(0o777)
    logged.run(f"{{ {look}; }} > /log/process 2>/dev/null")
    assert "refused" in lines(logged, "hook")
    assert lines(logged, "hook") == lines(logged, "process")


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"])
def test_line_018_a_start_hook_that_the_filter_kills_is_named(logged: Any, action: str) -> None:
    hook(logged, "startContainer", script="exec mkdir /tmp/refused")
    rules = [{"names": ["mkdir", "mkdirat"], "action": action}]
    logged.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    logged.config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    done = logged.run("true", fails=True)
    said = "error running startContainer hook #0: /bin/sh: killed by signal 31 (bad system call)"
    assert said in done.stderr


def test_line_019_a_failing_poststart_hook_stops_the_container(logged: Any) -> None:
    hook(logged, "poststart", script="exit 5")
    done = logged.run("while :; do sleep 1; done", fails=True)
    assert "error running poststart hook #0: /bin/sh: exit status 5" in done.stderr


def test_line_014_and_020_a_failing_poststop_hook_only_warns(logged: Any) -> None:
    hook(logged, "poststop", script="exit 6")
    hook(logged, "poststop", script="echo second >> $LOG/ran")
    done = logged.run("true")
    assert "error running poststop hook #0: /bin/sh: exit status 6" in done.stderr
    assert lines(logged, "ran") == ["second"]
    assert not (logged.directory / "state" / logged.directory.name).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_is_not_there_is_named(logged: Any, kind: str) -> None:
    logged.config["hooks"] = {kind: [{"path": "/no/such/hook"}]}
    done = logged.run("true", fails=kind != "poststop")
    assert f"error running {kind} hook #0: exec /no/such/hook: no such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"path": "relative"}, "absolute"),
        ({"path": "/bin/true", "timeout": 0}, "timeout"),
        ({"path": "/bin/true", "timeout": -1}, "timeout"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_before_anything_is_done(box: Any, change: dict[str, Any], text: str) -> None:
    box.config["hooks"] = {"prestart": [change]}
    done = box.run("true", fails=True)
    assert text in done.stderr
    assert "hooks.prestart[0]" in done.stderr


def test_a_hook_gets_its_argv_and_a_signal_set_as_new(logged: Any) -> None:
    copy = ["cp", "/proc/self/status", f"{logged.directory}/log/status"]
    words = shell(f'echo "$0 $*" > {logged.directory}/log/argv; ls /proc/$$/fd > {logged.directory}/log/fds')
    words["args"] += ["zero", "one", "two words"]
    logged.config["hooks"] = {"createRuntime": [words, {"path": "/bin/cp", "args": copy}]}
    logged.run("true")
    assert lines(logged, "argv") == ["zero one two words"]
    signals = dict(line.split(":", 1) for line in lines(logged, "status"))
    assert (int(signals["SigBlk"], 16), int(signals["SigIgn"], 16)) == (0, 0)
    assert {"0", "1", "2"} <= set(lines(logged, "fds"))


def test_an_interrupted_creation_leaves_nothing(logged: Any) -> None:
    hook(logged, "createRuntime", script="echo $$ > $LOG/pid; exec sleep 1000")
    logged._write("true")
    state = logged.directory / "state"
    command = [str(logged.command), "--root", str(state), "run", "--bundle", str(logged.directory), "victim"]
    running = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not lines(logged, "pid") and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "interrupted by signal 15" in said
    assert not (state / "victim").exists()
    assert not Path(f"/proc/{lines(logged, 'pid')[0]}").exists()
