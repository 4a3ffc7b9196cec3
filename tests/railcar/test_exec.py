"""exec: who the process is, where it runs, what it costs nothing to get wrong."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]


@pytest.fixture
def running(runner: Any, bundle: MakeBundle) -> str:
    name: str = runner.id()
    made = bundle("sleep", "1000", docker=True)
    runner.ok("run", "-d", "--bundle", made.path, name)
    return name


def test_output_streams_and_code(runner: Any, running: str) -> None:
    done = runner("exec", running, "sh", "-c", "cat; echo err >&2; exit 3", input="from outside")
    assert (done.returncode, done.stdout, done.stderr) == (3, "from outside", "err\n")
    assert runner("exec", running, "sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_user_groups_directory_environment(runner: Any, running: str) -> None:
    script = "id -u; id -g; cat /proc/self/status | grep Groups; pwd; echo $A $HOME"
    options = ["--user", "1000:5", "-g", "7", "--additional-gids", "8", "--cwd", "/tmp", "-e", "A=1", "--env", "A=2"]
    lines = runner.ok("exec", *options, running, "sh", "-c", script).splitlines()
    assert [line.strip() for line in lines] == ["1000", "5", "Groups:\t7 8", "/tmp", "2 /home/user"]


@pytest.mark.parametrize(
    "user", ["4294967295", "4294967296", "-1", "+1", " 1", "1_0", "٣", "1:", ":1", "root", "1:2:3"]
)
def test_bad_users_are_refused(runner: Any, running: str, user: str) -> None:
    done = runner("exec", f"--user={user}", running, "id")
    assert done.returncode == 255
    assert "--user" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("key", ["uid", "gid"])
@pytest.mark.parametrize("number", [-1, 2**32 - 1, 2**32, 1.5, "0", True])
def test_bad_users_of_a_process_file_are_refused(
    runner: Any, running: str, tmp_path: Path, key: str, number: Any
) -> None:
    path = tmp_path / "process.json"
    path.write_text(json.dumps({"cwd": "/", "args": ["id"], "env": ["PATH=/bin"], "user": {key: number}}))
    done = runner("exec", "--process", path, running)
    assert done.returncode == 255
    assert f"user.{key}" in done.stderr


def test_process_file(runner: Any, running: str, tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    process = {
        "cwd": "/tmp",
        "args": ["sh", "-c", "id -u; pwd; umask; grep CapEff /proc/self/status"],
        "env": ["PATH=/bin"],
        "user": {"uid": 1000, "gid": 1000, "umask": 0o77},
        "capabilities": {
            kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")
        },
    }
    path.write_text(json.dumps(process))
    assert runner.ok("exec", "--process", path, running).split() == [
        "1000",
        "/tmp",
        "0077",
        "CapEff:",
        f"{1 << 5:016x}",
    ]


def test_detached_process_and_pid_file(runner: Any, running: str, tmp_path: Path) -> None:
    runner.ok("exec", "--detach", "--pid-file", tmp_path / "pid", running, "sleep", "1000")
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\0"
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{runner.state(running)['pid']}/ns/pid")


def test_cap_adds_and_leaves_the_inheritable_set_alone(runner: Any, running: str) -> None:
    text = runner.ok("exec", "--cap", "CAP_SYS_PTRACE", running, "grep", "Cap", "/proc/self/status")
    sets = {key: int(value, 16) for key, value in (line.split(":") for line in text.splitlines())}
    assert sets["CapInh"] == sets["CapAmb"] == 0
    assert sets["CapEff"] & sets["CapPrm"] & sets["CapBnd"] & 1 << 19


def test_no_new_privs(runner: Any, running: str) -> None:
    assert "NoNewPrivs:\t1" in runner.ok("exec", "--no-new-privs", running, "cat", "/proc/self/status")
    assert "NoNewPrivs:\t0" in runner.ok("exec", running, "cat", "/proc/self/status")


def test_preserved_descriptors_and_no_others(runner: Any, running: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        argv = runner.argv(
            "exec", "--preserve-fds", "1", running, "sh", "-c", "cat <&3; ls /proc/self/fd | tr '\\n' ' '"
        )
        script = 'exec 3<&"$0" 9</dev/null; exec "$@"'
        done = subprocess.run(["bash", "-c", script, str(fd), *argv], capture_output=True, pass_fds=[fd], check=False)
    finally:
        os.close(fd)
    assert done.stderr == b""
    assert done.stdout == b"content0 1 2 3 4 "  # 4 is what ls reads the directory by


def test_preserved_descriptor_that_is_not_open_is_named(runner: Any, running: str) -> None:
    done = runner("exec", "--preserve-fds", "40", running, "true")
    assert done.returncode == 255
    assert "is not open" in done.stderr


@pytest.mark.parametrize(
    ("argument", "ending"),
    [
        ("nope", "executable file not found in $PATH"),
        ("/bin/nope", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
        ("/tmp/script", "no such file or directory"),
        ("/tmp/dynamic", "no such file or directory"),
        ("/tmp/foreign", "exec format error"),
        ("/tmp/text", "exec format error"),
    ],
)
def test_program_that_cannot_run_is_explained(runner: Any, bundle: MakeBundle, argument: str, ending: str) -> None:
    made, name = bundle("sleep", "1000"), runner.id()
    busybox = (made.rootfs / "bin/busybox").read_bytes()
    files = {
        "script": b"#!/no/interpreter\n",
        "dynamic": Path("/bin/ls").read_bytes(),
        "foreign": busybox[:18] + b"\x16\x00" + busybox[20:],
        "text": b"just text\n",
    }
    for key, content in files.items():
        (made.rootfs / "tmp" / key).write_bytes(content)
        (made.rootfs / "tmp" / key).chmod(0o755)
    runner.ok("run", "-d", "--bundle", made.path, name)
    done = runner("exec", name, argument)
    assert done.returncode == 255
    assert done.stderr.rstrip().endswith(ending), done.stderr
    assert argument in done.stderr
    if argument in ("/tmp/script", "/tmp/dynamic"):
        assert "interpreter" in done.stderr


def test_stopped_and_unknown_containers_are_refused(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("true").path, name)
    runner.wait(name, "stopped")
    done = runner("exec", name, "true")
    assert done.returncode == 255
    assert done.stderr.rstrip().endswith("container not running")
    done = runner("exec", "no-such", "true")
    assert done.returncode == 255
    assert done.stderr.rstrip().endswith("container does not exist")


def test_exec_in_a_created_container(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    runner.ok("create", "--bundle", bundle("true").path, name)
    assert runner.ok("exec", name, "echo", "in") == "in\n"
    assert runner.state(name)["status"] == "created"


def test_paused_container_is_refused(runner: Any, running: str) -> None:
    if runner("pause", running).returncode:
        pytest.skip("no freezer on this machine")
    try:
        done = runner("exec", running, "true")
    finally:
        runner.ok("resume", running)
    assert done.returncode == 255
    assert "cannot exec in a paused container" in done.stderr


def test_process_is_in_the_containers_cgroup(runner: Any, running: str) -> None:
    inside = Path(f"/proc/{runner.state(running)['pid']}/cgroup").read_text()
    script = "cat /proc/self/cgroup"
    assert running in inside
    assert all(line.endswith(":/") for line in runner.ok("exec", running, "sh", "-c", script).splitlines())


@pytest.mark.parametrize("entry", ["../..", "/../x", "nosuch:/", "absent"])
def test_bad_sub_cgroups_are_refused(runner: Any, running: str, entry: str) -> None:
    done = runner("exec", f"--cgroup={entry}", running, "true")
    assert done.returncode == 255
    assert done.stderr.rstrip().endswith("bad sub cgroup path")


def test_seccomp_applies_to_exec(runner: Any, bundle: MakeBundle) -> None:
    made, name = bundle("sleep", "1000"), runner.id()
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    runner.ok("run", "-d", "--bundle", made.write().path, name)
    done = runner("exec", name, "mkdir", "/tmp/x")
    assert done.returncode == 1
    assert "not implemented" in done.stderr


@pytest.mark.parametrize("privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_filter_that_permits_little_more_than_execve(
    runner: Any, bundle: MakeBundle, privileges: bool, uid: int
) -> None:
    """Such a filter would kill the stub, if it were loaded before it."""
    names = ["execve", "exit", "exit_group", "write", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq"]
    names += ["prlimit64", "getrandom", "mprotect", "readlink", "readlinkat", "getuid", "setuid", "setgid", "getgid"]
    names += ["geteuid", "getegid", "prctl", "uname", "poll", "rt_sigaction", "ioctl", "fstat", "newfstatat", "writev"]
    names += ["mmap", "munmap", "setresuid"]
    made = bundle("echo", "alive", noNewPrivileges=not privileges, user={"uid": uid, "gid": uid})
    made.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
    assert runner.out(made.write()) == "alive\n"


def test_command_is_missing_or_twice(runner: Any, running: str, tmp_path: Path) -> None:
    done = runner("exec", running)
    assert done.returncode == 255
    assert "command is missing" in done.stderr
    (tmp_path / "p").write_text("{}")
    assert runner("exec", "--process", tmp_path / "p", running, "true").returncode == 255
    assert runner("exec", "--process", tmp_path / "absent", running).returncode == 255


def test_json_log_of_a_failure_is_one_object(runner: Any, running: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = [str(runner.command), "--root", str(runner.root), "--log", str(log), "--log-format", "json"]
    done = subprocess.run([*argv, "exec", running, "nope"], capture_output=True, text=True, timeout=120, check=False)
    entry = json.loads(log.read_text())
    assert done.returncode == 255
    assert (entry["level"], entry["msg"]) == ("error", done.stderr.strip())
    assert entry["time"].endswith("Z")


@pytest.mark.parametrize("ambient", [[], ["CAP_NET_RAW", "CAP_KILL"]])
def test_capabilities_of_a_user_count_until_the_program_runs(
    runner: Any, bundle: MakeBundle, ambient: list[str]
) -> None:
    """CAP_DAC_OVERRIDE lets a user start what only root may reach; after the exec only the ambient set is left."""
    made, name = bundle("sleep", "1000", docker=True, user={"uid": 1000, "gid": 1000}), runner.id()
    (made.rootfs / "bin").chmod(0o700)
    made.config["process"]["capabilities"] |= {"inheritable": [*ambient, "CAP_CHOWN"], "ambient": ambient}
    runner.ok("run", "-d", "--bundle", made.write().path, name)
    bits = sum(1 << {"CAP_NET_RAW": 13, "CAP_KILL": 5}[key] for key in ambient)
    status = Path(f"/proc/{runner.state(name)['pid']}/status").read_text()
    for text in (status, runner.ok("exec", name, "/bin/cat", "/proc/self/status")):
        sets = {key: int(value, 16) for key, value in (line.split(":") for line in text.splitlines() if "Cap" in line)}
        assert sets["CapAmb"] == sets["CapPrm"] == sets["CapEff"] == bits
        assert sets["CapInh"] == bits | 1
