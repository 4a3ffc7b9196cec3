"""The systemd driver on a machine that systemd has booted: scopes of the system's manager and of a user's."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("v2", "booted")]

MIB = 1 << 20
GROUPS = Path("/sys/fs/cgroup")


def properties(unit: str, *names: str, prefix: tuple[str, ...] = ()) -> dict[str, str]:
    argv = [*prefix, "systemctl", "show", unit, *(word for name in names for word in ("-p", name))]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_line_87_limits_are_the_units_and_the_kernels(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    name = runner.prefix + "-1"
    made.config["linux"]["cgroupsPath"] = f"system.slice:railcar:{name}"
    made.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 7"}
    made.config["linux"]["resources"] = {
        "memory": {"limit": 96 * MIB, "reservation": 32 * MIB, "swap": 128 * MIB},
        "cpu": {"shares": 2048, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 33},
    }
    assert started(made, "--systemd-cgroup") == name
    unit, group = f"railcar-{name}.scope", GROUPS / f"system.slice/railcar-{name}.scope"
    assert Path(f"/proc/{runner.state(name)['pid']}/cgroup").read_text() == f"0::/system.slice/{unit}\n"
    names = ("ActiveState", "Delegate", "Slice", "TimeoutStopUSec", "AllowedCPUs", "CPUQuotaPerSecUSec")
    assert properties(unit, *names) == {
        "ActiveState": "active",
        "Delegate": "yes",
        "Slice": "system.slice",
        "TimeoutStopUSec": "7s",
        "AllowedCPUs": "0",
        "CPUQuotaPerSecUSec": "500ms",
    }
    assert properties(unit, "MemoryMax", "MemoryLow", "MemorySwapMax", "TasksMax") == {
        "MemoryMax": str(96 * MIB),
        "MemoryLow": str(32 * MIB),
        "MemorySwapMax": str(32 * MIB),
        "TasksMax": "33",
    }
    assert (group / "memory.max").read_text() == f"{96 * MIB}\n"
    assert (group / "cpu.max").read_text() == "50000 100000\n"
    assert (group / "pids.max").read_text() == "33\n"
    runner.ok("--systemd-cgroup", "update", "--memory", "160M", "--memory-swap", "160M", "--pids-limit", "44", name)
    runner.ok("--systemd-cgroup", "update", "--cpu-quota", "20000", "--cpu-shares", "2", name)
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)
    assert properties(unit, "MemoryMax", "TasksMax", "CPUWeight") == {
        "MemoryMax": str(160 * MIB),
        "TasksMax": "44",
        "CPUWeight": "1",
    }
    assert [(group / file).read_text() for file in ("memory.max", "pids.max", "cpu.weight", "cpu.max")] == [
        f"{160 * MIB}\n",
        "44\n",
        "1\n",
        "20000 100000\n",
    ]
    assert runner.ok("exec", name, "/bin/cat", "/proc/self/cgroup") == f"0::/system.slice/{unit}\n"
    runner.ok("pause", name)
    assert runner.state(name)["status"] == "paused"
    runner.ok("delete", "--force", name)
    assert not group.exists()
    assert properties(unit, "ActiveState") == {"ActiveState": "inactive"}


def test_line_122_unified_limits_are_the_units_and_the_kernels(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    unit = f"railcar-{runner.prefix}-1.scope"
    made.config["linux"]["cgroupsPath"] = f"system.slice:railcar:{runner.prefix}-1"
    made.config["linux"]["resources"] = {
        "memory": {"limit": 96 * MIB},
        "unified": {"memory.max": str(40 * MIB), "memory.min": "131072", "pids.max": "99", "cpu.max": "10000 100000"},
    }
    name = started(made, "--systemd-cgroup")
    wanted = {"MemoryMax": str(40 * MIB), "MemoryMin": "131072", "TasksMax": "99", "CPUQuotaPerSecUSec": "100ms"}
    assert properties(unit, *wanted) == wanted
    new = json.dumps({"unified": {"pids.max": "20", "memory.max": str(80 * MIB)}})
    runner.ok("--systemd-cgroup", "update", "--resources", "-", name, input=new)
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)
    group = GROUPS / "system.slice" / unit
    assert [(group / file).read_text() for file in ("memory.max", "pids.max", "cpu.max")] == [
        f"{80 * MIB}\n",
        "20\n",
        "10000 100000\n",
    ]
    runner.ok("--systemd-cgroup", "update", "--cpu-period", "50000", name)
    assert (group / "cpu.max").read_text() == "10000 50000\n"
    runner.ok("--systemd-cgroup", "update", "--cpu-quota", "20000", name)
    assert (group / "cpu.max").read_text() == "20000 50000\n"
    assert properties(unit, "CPUQuotaPerSecUSec") == {"CPUQuotaPerSecUSec": "400ms"}


def test_lines_102_and_103_a_period_without_a_quota_stays(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    unit = f"railcar-{runner.prefix}-1.scope"
    made.config["linux"]["cgroupsPath"] = f"system.slice:railcar:{runner.prefix}-1"
    made.config["linux"]["resources"] = {"cpu": {"period": 900000}, "pids": {"limit": 33}}
    name = started(made, "--systemd-cgroup")
    group = GROUPS / "system.slice" / unit
    assert (group / "cpu.max").read_text() == "max 900000\n"
    runner.ok("--systemd-cgroup", "update", "--cpu-quota", "90000", name)
    assert (group / "cpu.max").read_text() == "90000 900000\n"
    runner.ok("--systemd-cgroup", "update", "--cpu-quota", "-1", name)
    assert (group / "cpu.max").read_text() == "max 900000\n"


def test_line_87_a_group_that_is_used_is_refused_and_left_alone(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    unit = f"railcar-{runner.prefix}-1.scope"
    made.config["linux"]["cgroupsPath"] = f"system.slice:railcar:{runner.prefix}-1"
    name = started(made, "--systemd-cgroup")
    for _ in range(2):
        done = runner("--systemd-cgroup", "create", "--bundle", made.path, runner.id())
        assert (done.returncode, done.stderr) == (1, "container's cgroup is not empty: 1 process(es) found\n")
        assert runner.state(name)["status"] == "running"
        assert properties(unit, "ActiveState") == {"ActiveState": "active"}


def test_line_91_device_rules_hold_after_systemd_has_reloaded(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000", docker=True)
    (made.rootfs / "bin/mknod").symlink_to("busybox")
    name = started(made, "--systemd-cgroup")
    script = "[ -e /tmp/kmsg ] || mknod /tmp/kmsg c 1 11; cat /dev/null && head -c 1 /tmp/kmsg"
    for _ in range(2):
        done = runner("exec", "--cap", "CAP_MKNOD", name, "/bin/sh", "-c", script)
        assert done.returncode == 1
        assert "Operation not permitted" in done.stderr
        subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)


def test_line_87_a_scope_that_systemd_stops_is_a_stopped_container(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    name = started(bundle("sleep", "1000"), "--systemd-cgroup")
    subprocess.run(["systemctl", "kill", "--signal=KILL", f"railcar-{name}.scope"], check=True, timeout=120)
    runner.wait(name, "stopped")
    runner.ok("delete", name)


def test_line_87_the_end_of_the_program_is_the_end_of_the_scope(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "exit 5")
    name = runner.id()
    done = runner("--systemd-cgroup", "run", "--bundle", made.path, name)
    assert done.returncode == 5, done.stderr
    assert properties(f"railcar-{name}.scope", "ActiveState", "LoadState")["ActiveState"] == "inactive"


class User:
    """An unprivileged user with a systemd of its own."""

    def __init__(self, name: str, uid: int) -> None:
        self.name, self.uid, self.runtime = name, uid, f"/run/user/{uid}"

    def argv(self, *words: str) -> list[str]:
        """As that user, in the user's own session."""
        environment = ["env", "-i", "PATH=/usr/bin:/usr/sbin", f"XDG_RUNTIME_DIR={self.runtime}"]
        environment.append(f"DBUS_SESSION_BUS_ADDRESS=unix:path={self.runtime}/bus")
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups"]
        return [*become, *environment, *words]

    def __call__(self, *words: str | Path) -> str:
        argv = self.argv(*map(str, words))
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def user() -> Iterator[User]:
    """A user with subordinate ids, logged in as far as systemd is concerned."""
    import pwd

    lines = (
        [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()] if shutil.which("newuidmap") else []
    )
    ranges = [words[0] for words in lines if len(words) == 3 and int(words[1]) == 100000]
    if not ranges:
        pytest.skip("needs newuidmap (Debian: uidmap) and a user with subordinate ids from 100000 on")
    entry = pwd.getpwnam(ranges[0])
    service = f"user@{entry.pw_uid}.service"
    if subprocess.run(["systemctl", "start", service], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("systemd starts no manager for this user")
    yield User(entry.pw_name, entry.pw_uid)
    subprocess.run(["systemctl", "stop", service], check=True, timeout=120)


@pytest.fixture
def rootless(bundle: Callable[..., Any], user: User) -> Callable[..., Any]:
    def make(*command: str) -> Any:
        made = bundle(*command, docker=True)
        linux = made.config["linux"]
        linux["namespaces"].append({"type": "user"})
        for key in ("uidMappings", "gidMappings"):
            linux[key] = [
                {"containerID": 0, "hostID": user.uid, "size": 1},
                {"containerID": 1, "hostID": 100000, "size": 65536},
            ]
        subprocess.run(["chown", "-R", f"{user.uid}:{user.uid}", made.path], check=True)
        return made

    return make


@pytest.mark.usefixtures("other_users")
def test_line_87_and_89_a_scope_of_the_users_own_systemd(
    railcar: Path, user: User, rootless: Callable[..., Any]
) -> None:
    """Made and limited, entered, changed and gone, with several ranges of ids by newuidmap, all without privileges."""
    made = rootless("sleep", "1000")
    made.config["linux"]["resources"] |= {"memory": {"limit": 96 * MIB}, "pids": {"limit": 33}}
    made.write()
    name = f"railcar-test-{os.getpid()}"
    command = (railcar, "--systemd-cgroup")
    argv = user.argv(*map(str, command), "run", "-d", "--bundle", str(made.path), name)
    said = made.path / "said"
    with said.open("w") as file:
        code = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=120, check=False
        ).returncode
    try:
        assert code == 0, said.read_text()
        pid = json.loads(user(*command, "state", name))["pid"]
        place = f"/user.slice/user-{user.uid}.slice/user@{user.uid}.service/user.slice/railcar-{name}.scope"
        assert Path(f"/proc/{pid}/cgroup").read_text() == f"0::{place}\n"
        assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(user.uid), "1", "1", "100000", "65536"]
        group = GROUPS / place[1:]
        assert (group / "memory.max").read_text() == f"{96 * MIB}\n"
        assert (group / "pids.max").read_text() == "33\n"
        shown = user("systemctl", "--user", "show", f"railcar-{name}.scope", "-p", "Delegate,TasksMax,ActiveState")
        assert sorted(shown.split()) == ["ActiveState=active", "Delegate=yes", "TasksMax=33"]
        user(*command, "update", "--pids-limit", "44", "--memory", "128M", name)
        assert (group / "pids.max").read_text() == "44\n"
        assert user(*command, "exec", name, "/bin/sh", "-c", "id -u; cat /proc/self/cgroup").split() == ["0", "0::/"]
        user(*command, "pause", name)
        assert json.loads(user(*command, "state", name))["status"] == "paused"
        user(*command, "resume", name)
    finally:
        user(*command, "delete", "--force", name)
    assert not group.exists()


@pytest.mark.usefixtures("other_users")
def test_line_89_a_delegated_group_without_the_systemd_driver(
    railcar: Path, user: User, rootless: Callable[..., Any]
) -> None:
    """In a delegated scope, railcar makes its groups itself, beside its own."""
    made = rootless("sh", "-c", "cat /sys/fs/cgroup/pids.max; id -u")
    made.config["linux"]["resources"] = {"pids": {"limit": 21}}
    made.write()
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes"]
    inner = 'mkdir $0/own && echo $$ > $0/own/cgroup.procs && exec "$@"'
    group = "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
    run = [str(railcar), "run", "--bundle", str(made.path), f"railcar-test-{os.getpid()}"]
    script = f"exec sh -c '{inner}' {group} " + " ".join(run)
    said = user(*scope, "sh", "-c", script)
    assert said.split() == ["21", "0"]
