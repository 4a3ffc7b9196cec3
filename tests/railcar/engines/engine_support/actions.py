"""What docker and podman are both asked to do by the same words: each engine's module derives a class from this one."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_support import Engine, talk, until

INITS = [shutil.which(name) for name in ("catatonit", "docker-init", "tini-static")]
# A container's init is bound into an image that has no loader: it must be static.
INIT = next((path for path in INITS if path and b"/ld-linux" not in Path(path).read_bytes()[:4096]), None)
RUN = ("run", "--rm", "--network", "none")
RESIZE = (
    "echo ready; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; "
    "echo resized; read code; echo told $code; exit $code"
)
PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "args": []}],
}
# Each line of the container's output is a word and what the container found.
FINDINGS = r"""
say() { echo "$1=$2"; }
limit() { cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2 2>/dev/null; }
say user "$(id -u):$(id -g)"
say env "$A"
say workdir "$(pwd)"
say hostname "$(hostname)"
say init "$([ $$ = 1 ] && echo no || echo yes)"
say nofile "$(ulimit -n)"
say sysctl "$(cat /proc/sys/kernel/msgmax)"
say capabilities "$(grep CapBnd /proc/self/status)"
say no-new-privileges "$(grep NoNewPrivs /proc/self/status)"
say seccomp "$(grep Seccomp: /proc/self/status)"
say profile "$(mkdir /scratch/x 2>&1)"
say read-only "$(touch /x 2>&1)"
say tmpfs "$(grep ' /scratch ' /proc/mounts)"
say volume-ro "$(touch /ro/x 2>&1)"
say volume-rw "$(echo written >/rw/x && cat /rw/x)"
say propagation "$(grep ' /shared ' /proc/self/mountinfo)"
say device "$(head -c 3 /dev/zilch | wc -c)"
say no-device "$(cat /dev/mem 2>&1)"
say memory "$(limit memory/memory.limit_in_bytes memory.max)"
say pids "$(limit pids/pids.max pids.max)"
say cpus "$(limit cpu/cpu.cfs_quota_us cpu.max)"
"""
EXPECTED = {
    "user": "1000:1001",
    "env": "1 2",
    "workdir": "/scratch",
    "hostname": "inside",
    "init": "yes",
    "nofile": "321",
    "sysctl": "12345",
    "capabilities": "CapBnd:\t0000000000001000",  # CAP_NET_ADMIN alone
    "no-new-privileges": "NoNewPrivs:\t1",
    "seccomp": "Seccomp:\t2",
    "profile": "Operation not permitted",
    "read-only": "Read-only file system",
    "tmpfs": "size=1024k",
    "volume-ro": "Read-only file system",
    "volume-rw": "written",
    "propagation": "shared:",
    "device": "3",
    "no-device": "No such file",
    "memory": str(64 << 20),
    "pids": "50",
    "cpus": "50000",
}


def namespace(process: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{process}/ns/{kind}")


class Actions:
    """Tests by any engine that understands docker's command line."""

    init: tuple[str, ...] = ("--init",)
    shared = "rshared"
    limits = True
    loses_exit_codes = False

    @pytest.fixture(scope="class")
    @classmethod
    def findings(cls, engine: Engine, place: Path) -> dict[str, str]:
        """What a container with nearly every option finds inside."""
        for name in ("ro", "rw", "shared"):
            (place / name).mkdir(exist_ok=True)
            (place / name).chmod(0o777)
        (place / "profile.json").write_text(json.dumps(PROFILE))
        options = ["-u", "1000:1001", "-e", "A=1 2", "-w", "/scratch", "--hostname", "inside", "--read-only"]
        options += ["--ulimit", "nofile=321:321", "--ulimit", "nproc=512:512", "--sysctl", "kernel.msgmax=12345"]
        options += ["--tmpfs", "/scratch:size=1m,mode=1777", "--device", "/dev/zero:/dev/zilch"]
        options += ["--cap-drop", "all", "--cap-add", "net_admin", "--security-opt", "no-new-privileges"]
        options += ["--security-opt", f"seccomp={place}/profile.json", "-v", f"{place}/ro:/ro:ro"]
        options += ["-v", f"{place}/rw:/rw", "-v", f"{place}/shared:/shared:{cls.shared}"]
        options += ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", *cls.init]
        said = engine.ok(*RUN, *options, "box", "sh", "-c", FINDINGS)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def needs_limits(self) -> None:
        if not self.limits:
            pytest.skip("without root the engine has no control groups here")

    @pytest.mark.parametrize("what", EXPECTED)
    def test_option(self, what: str, findings: dict[str, str]) -> None:
        if what == "init" and not self.init:
            pytest.skip("there is no init program for containers on this machine")
        if what in ("memory", "pids", "cpus"):
            self.needs_limits()
        if what == "propagation" and self.shared != "rshared":
            assert "shared:" not in findings[what]
        else:
            assert EXPECTED[what] in findings[what]

    def test_terminal_with_resize(self, engine: Engine) -> None:
        steps = [("ready", ""), ("resized", "7\n")]
        said, code = talk(engine, *RUN, "-it", "box", "sh", "-c", RESIZE, steps=steps, size=(33, 77))
        assert code == 7, said

    @pytest.mark.parametrize(
        ("options", "command", "code"),
        [
            ((), ("sh", "-c", "exit 9"), 9),
            ((), ("nope",), 127),
            ((), ("/tmp",), 126),
            (("--cap-add", "nope"), ("true",), 125),
        ],
    )
    def test_exit_code(self, engine: Engine, options: tuple[str, ...], command: tuple[str, ...], code: int) -> None:
        done = engine(*RUN, *options, "box", *command)
        assert done.returncode == code, done.stderr

    @pytest.fixture(scope="class")
    @classmethod
    def long(cls, engine: Engine) -> Iterator[str]:
        """A container that the tests that follow share; it says what it hears."""
        script = "trap 'echo heard' USR1; echo started; while :; do sleep 0.1; done"
        name = engine.start(*cls.init, "--ipc", "shareable", "--memory", "64m", command=("sh", "-c", script))
        until(lambda: "started" in engine.logs(name), "the container to start")
        yield name
        engine.ok("rm", "--force", name)
        assert name not in engine.ok("ps", "-a")

    def test_exec(self, engine: Engine, long: str) -> None:
        options = ("-u", "1000:1001", "-e", "A=1 2", "-w", "/tmp")
        script = 'echo "$(id -u):$(id -g) $A $(pwd)"; exit 3'
        done = engine("exec", *options, long, "sh", "-c", script)
        assert (done.stdout.strip(), done.returncode) == ("1000:1001 1 2 /tmp", 3), done.stderr

    def test_exec_of_nothing(self, engine: Engine, long: str) -> None:
        assert engine("exec", long, "nope").returncode in (126, 127)

    def test_exec_in_the_background(self, engine: Engine, long: str) -> None:
        engine.ok("exec", "-d", long, "sh", "-c", "echo token >/tmp/token")
        until(lambda: engine("exec", long, "cat", "/tmp/token").stdout == "token\n", "the exec to write")

    def test_exec_on_a_terminal(self, engine: Engine, long: str) -> None:
        steps = [("ready", ""), ("resized", "5\n")]
        said, code = talk(engine, "exec", "-it", long, "sh", "-c", RESIZE, steps=steps, size=(33, 77))
        assert "told 5" in said
        assert code == 5 or (code == 0 and self.loses_exit_codes), said

    def test_exec_with_privileges(self, engine: Engine, long: str) -> None:
        done = engine("exec", "--privileged", long, "grep", "CapEff", "/proc/self/status")
        if done.returncode and "operation not permitted" in (done.stdout + done.stderr).lower():
            pytest.skip("the engine asks for capabilities that this machine does not have")
        plain = engine.ok("exec", long, "grep", "CapEff", "/proc/self/status")
        assert int(done.stdout.split()[1], 16) > int(plain.split()[1], 16)

    def test_signal_and_logs(self, engine: Engine, long: str) -> None:
        engine.ok("kill", "--signal", "USR1", long)
        until(lambda: "heard" in engine.logs(long), "the signal to be heard")

    def test_top(self, engine: Engine, long: str) -> None:
        lines = engine.ok("top", long).splitlines()
        assert any("sh" in line.split() for line in lines[1:]), lines

    def test_stats(self, engine: Engine, long: str) -> None:
        self.needs_limits()
        said = engine.ok("stats", "--no-stream", long)
        assert "64MiB" in said or "67.11MB" in said

    def test_pause(self, engine: Engine, long: str) -> None:
        self.needs_limits()
        engine.ok("pause", long)
        try:
            assert engine.inspect(long, ".State.Status") == "paused"
            assert engine("exec", long, "true").returncode != 0
        finally:
            engine.ok("unpause", long)
        assert engine.inspect(long, ".State.Status") == "running"

    def test_namespaces_of_another(self, engine: Engine, long: str) -> None:
        """A second container in the first one's namespaces comes and is killed, and the first stays."""
        options = [word for kind in ("pid", "network", "ipc") for word in (f"--{kind}", f"container:{long}")]
        second = engine.name()
        engine.ok("run", "-d", "--name", second, *options, "box", "sleep", "1000")
        pids = [engine.inspect(name, ".State.Pid") for name in (long, second)]
        for kind in ("pid", "net", "ipc"):
            assert namespace(pids[0], kind) == namespace(pids[1], kind), kind
        assert namespace(pids[0], "mnt") != namespace(pids[1], "mnt")
        engine.ok("rm", "--force", second)
        assert engine.inspect(long, ".State.Running") == "true"

    def test_namespaces_of_the_host(self, engine: Engine) -> None:
        script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/net"
        said = engine.ok("run", "--rm", "--pid", "host", "--network", "host", "box", "sh", "-c", script)
        assert said.split() == [namespace("self", "pid"), namespace(engine.host, "net")]

    def test_no_seccomp(self, engine: Engine) -> None:
        options = ("--security-opt", "seccomp=unconfined")
        assert engine.ok(*RUN, *options, "box", "grep", "Seccomp:", "/proc/self/status").split()[1] == "0"

    def test_privileged(self, engine: Engine) -> None:
        done = engine(*RUN, "--privileged", "box", "sh", "-c", "mount -t tmpfs none /tmp && echo mounted")
        if "CAP_SYS_RESOURCE" in done.stderr or (done.returncode in (125, 126) and "not permitted" in done.stderr):
            pytest.skip(f"this machine does not have what the engine gives: {done.stderr[-200:]}")
        assert done.stdout.strip() == "mounted", done.stderr

    def test_stop_restart_and_kill(self, engine: Engine) -> None:
        """A program that TERM ends gives 143, one that KILL ends 137."""
        script = "trap 'exit 143' TERM; echo started; while :; do sleep 0.1; done"
        name = engine.start(command=("sh", "-c", script))
        until(lambda: "started" in engine.logs(name), "the container to start")
        engine.ok("stop", "--time", "100", name)
        assert engine.inspect(name, ".State.ExitCode") == "143"
        engine.ok("restart", "--time", "0", name)
        until(lambda: engine.logs(name).count("started") == 2, "the container to start again")
        engine.ok("kill", name)
        until(lambda: engine.inspect(name, ".State.Status") == "exited", "the container to end")
        assert engine.inspect(name, ".State.ExitCode") == "137"
        engine.ok("rm", name)

    def test_restart_policy(self, engine: Engine) -> None:
        name = engine.start("--restart", "on-failure:2", command=("sh", "-c", "echo once more; exit 3"))
        until(lambda: engine.logs(name).count("once more") == 3, "two more starts")
        until(lambda: engine.inspect(name, ".State.Status") == "exited", "the container to end")
        assert engine.inspect(name, ".State.ExitCode") == "3"
        engine.ok("rm", name)

    def test_out_of_memory(self, engine: Engine) -> None:
        """The kernel's kill is told apart from any other: the shell outlives its child, to be seen doing so."""
        self.needs_limits()
        # containerd asks to be told of kills once the program runs, and hears of none before.
        script = (
            "until [ -e /tmp/go ]; do sleep 0.1; done; "
            "dd if=/dev/zero of=/dev/null bs=256M count=1; echo ended $?; while :; do sleep 0.1; done"
        )
        name = engine.start("--memory", "32m", "--memory-swap", "32m", command=("sh", "-c", script))
        engine.ok("exec", name, "touch", "/tmp/go")
        until(lambda: "ended" in engine.logs(name), "the child to end")
        assert "ended 137" in engine.logs(name)
        engine.ok("kill", name)
        until(lambda: engine.inspect(name, ".State.OOMKilled") == "true", "the kill to be reported as one for memory")
        engine.ok("rm", "--force", name)


class PodmanActions(Actions):
    init = ("--init", "--init-path", INIT) if INIT else ()

    def test_out_of_memory(self, engine: Engine) -> None:
        """A kill for memory ends the container with 137; podman 4.3 does not report it as one, under any runtime."""
        self.needs_limits()
        command = ("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1")
        name = engine.start("--memory", "32m", "--memory-swap", "32m", command=command)
        until(lambda: engine.inspect(name, ".State.Status") == "exited", "the container to end")
        assert engine.inspect(name, ".State.ExitCode") == "137"
        engine.ok("rm", name)
