"""What runc's integration tests and runtime-tools' validation ask for, as small tests of our own."""

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def inherited(box: Any, kind: str) -> None:
    """Let the container have the host's namespace of a type."""
    linux = box.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != kind]
    box.write()


def status_of(text: str, field: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(field + ":"))


def sleeper(bundle: Callable[..., Any], runner: Any, *options: str, host_pids: bool = False) -> str:
    box = bundle("sleep", "1000")
    if host_pids:
        inherited(box, "pid")
    name: str = runner.id()
    runner.ok(*options, "run", "--detach", "--bundle", box.write().path, name)
    return name


def test_killing_reaches_what_outlived_the_first_process(bundle: Any, runner: Any, wait_until: Any) -> None:
    name = sleeper(bundle, runner, host_pids=True)
    runner.ok("exec", "--detach", name, "sleep", "1000")
    first = runner.state(name)["pid"]
    pids = json.loads(runner.ok("ps", "--format", "json", name))
    os.kill(first, 9)
    runner.wait(name, "stopped")
    others = [pid for pid in pids if pid != first]
    assert others
    runner.ok("kill", name, "KILL")
    wait_until(lambda: not any(running(pid) for pid in others))
    assert "container not running" in runner("kill", name, "TERM").stderr


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("hooked", [False, True])
def test_a_waiting_container_ends_at_sigterm(bundle: Any, runner: Any, hooked: bool) -> None:
    box = bundle("true")
    if hooked:  # then it is Python that waits
        box.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    name = runner.id()
    runner.ok("create", "--bundle", box.write().path, name)
    runner.ok("kill", name, "TERM")
    runner.wait(name, "stopped")


def test_a_started_program_has_no_handler_of_ours(bundle: Any, runner: Any) -> None:
    box = bundle("grep", "^Sig", "/proc/self/status")
    said = runner.out(box.write())
    assert int(status_of(said, "SigCgt"), 16) == 0
    assert int(status_of(said, "SigIgn"), 16) == 0


def test_an_inherited_cpu_affinity_does_not_bind_the_container(bundle: Any, runner: Any) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2 or len(cpus) != os.cpu_count():
        pytest.skip("needs two CPUs, and none that this test may not use")
    box = bundle("sleep", "1000").write()
    name = runner.id()
    own = {"preexec_fn": lambda: os.sched_setaffinity(0, {cpus[0]})}
    runner.ok("run", "--detach", "--bundle", box.path, name, **own)
    listed = Path(f"/proc/{runner.state(name)['pid']}/status").read_text()
    said = runner.ok("exec", name, "grep", "^Cpus_allowed_list", "/proc/self/status", **own)
    free = status_of(Path("/proc/self/status").read_text(), "Cpus_allowed_list")
    assert status_of(listed, "Cpus_allowed_list") == free
    assert status_of(said, "Cpus_allowed_list") == free


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("to_file", [True, False])
def test_debug_tells_the_steps(bundle: Any, runner: Any, tmp_path: Path, form: str, to_file: bool) -> None:
    log = tmp_path / "log"
    options = ["--debug", "--log-format", form, *(["--log", str(log)] if to_file else [])]
    done = runner(*options, "run", "--bundle", bundle("true").write().path, runner.id())
    assert done.returncode == 0
    text = log.read_text() if to_file else done.stderr
    if to_file:
        assert done.stderr == ""
    if form == "json":
        assert {json.loads(line)["level"] for line in text.splitlines()} == {"debug"}
    else:
        assert all(" level=debug msg=" in line for line in text.splitlines())
    assert "cgroups: " in text


def test_debug_keeps_the_error_last(bundle: Any, runner: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    box = bundle("/bin/missing").write()
    failed = runner("--debug", "--log", str(log), "--log-format", "json", "run", "--bundle", box.path, runner.id())
    assert failed.returncode == 1
    assert json.loads(log.read_text().splitlines()[-1])["level"] == "error"


def test_help_for_what_is_no_command(runner: Any) -> None:
    done = runner("foo", "-h")
    assert done.returncode == 3
    assert "No help topic for 'foo'" in done.stderr


def test_sub_cgroups_that_cannot_be(bundle: Any, runner: Any) -> None:
    name = sleeper(bundle, runner)
    for option, said in (
        ("..", " .. is not a sub cgroup path"),
        ("nonexistent", "/nonexistent/cgroup.procs: no such file "),
        ("whaaat:/", "unknown controller "),
    ):
        done = runner("exec", "--cgroup", option, name, "true")
        assert done.returncode == 255
        assert said in done.stderr


def test_unified_limits_of_a_controller_on_v1_are_refused(bundle: Any, runner: Any) -> None:
    if not Path("/sys/fs/cgroup/memory").is_dir():
        pytest.skip("the memory controller is not on cgroup v1 here")
    box = bundle("true")
    box.config["linux"]["resources"] = {"unified": {"memory.min": "131072"}}
    done = runner("run", "--bundle", box.write().path, runner.id())
    assert done.returncode == 1
    assert "invalid configuration" in done.stderr


def test_ambient_capabilities_need_inheritable_ones(bundle: Any, runner: Any) -> None:
    box = bundle("grep", "^Cap", "/proc/self/status")
    sets = {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in ("bounding", "effective", "permitted", "ambient")}
    box.config["process"]["capabilities"] = sets | {"inheritable": ["CAP_KILL"]}
    done = runner("run", "--bundle", box.write().path, runner.id())
    assert "can't raise ambient capability CAP_CHOWN: " in done.stderr
    assert int(status_of(done.stdout, "CapAmb"), 16) == 1 << 5


def test_exec_cap_is_ambient_where_the_config_lets_it_be_inherited(bundle: Any, runner: Any) -> None:
    box = bundle("sleep", "1000")
    box.config["process"]["capabilities"] = {
        "inheritable": ["CAP_CHOWN", "CAP_FOWNER"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"],
        "ambient": ["CAP_CHOWN"],
    }
    name = runner.id()
    runner.ok("run", "--detach", "--bundle", box.write().path, name)
    said = runner.ok("exec", "--cap", "CAP_FOWNER", name, "cat", "/proc/self/status")
    assert int(status_of(said, "CapAmb"), 16) == 1 << 0 | 1 << 3
    assert int(status_of(said, "CapInh"), 16) == 1 << 0 | 1 << 3


def test_create_container_hooks_start_in_the_root(bundle: Any, runner: Any) -> None:
    box = bundle("cat", "/made-by-hook")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo found > made-by-hook"]}
    box.config["hooks"] = {"createContainer": [hook]}
    assert runner.out(box.write()) == "found\n"


def test_create_runtime_hooks_can_bind_onto_the_root_by_its_path(bundle: Any, runner: Any, tmp_path: Path) -> None:
    box = bundle("cat", "/bin/bound")
    (tmp_path / "file").write_text("from the host\n")
    (box.rootfs / "bin/bound").touch()
    nsenter = "nsenter -m -t $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')"
    script = f"{nsenter} mount --bind {tmp_path}/file {box.rootfs}/bin/bound"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"]}
    box.config["hooks"] = {"createRuntime": [hook]}
    assert runner.out(box.write()) == "from the host\n"


def test_time_offsets_in_a_user_namespace(bundle: Any, runner: Any) -> None:
    if not Path("/proc/self/ns/time").exists():
        pytest.skip("this kernel has no time namespaces")
    box = bundle("cat", "/proc/self/timens_offsets")
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    linux = box.config["linux"]
    linux["namespaces"] += [{"type": "user"}, {"type": "time"}]
    linux |= {"uidMappings": mapping, "gidMappings": mapping, "timeOffsets": {"monotonic": {"secs": 7881}}}
    subprocess.run(["chown", "-R", "100000:100000", box.rootfs], check=True)
    assert "monotonic        7881 " in runner.out(box.write())


def test_a_seccomp_agent_that_is_not_there(bundle: Any, runner: Any, tmp_path: Path) -> None:
    box = bundle("true")
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(tmp_path / "none"), "syscalls": [rule]}
    box.config["linux"]["seccomp"] = profile
    done = runner("run", "--bundle", box.write().path, runner.id())
    assert done.returncode == 1
    assert "failed to connect with seccomp agent" in done.stderr


def test_pidfd_sockets_are_told_by_name(bundle: Any, runner: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as closed:
        closed.bind(path)
    done = runner("create", "--pidfd-socket", path, "--bundle", bundle("true").write().path, runner.id())
    assert done.returncode == 1
    assert "pidfd socket" in done.stderr


def test_version_by_its_letter(runner: Any) -> None:
    assert runner.ok("-v") == runner.ok("--version")
