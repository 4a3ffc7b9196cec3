"""Limits of cgroup v2, from the configuration and by `update`, as the kernel has them; and what it tells back."""

import json
import os
import select
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("v2")]
MIB = 1 << 20


def directory(runner: Any, name: str) -> Path:
    """The container's group."""
    record = json.loads((runner.root / name / "state.json").read_text())
    return Path(record["cgroup"]["paths"]["unified"])


def shown(group: Path, *files: str) -> dict[str, str]:
    return {file: (group / file).read_text().strip() for file in files}


def disk() -> str:
    """`major:minor` of a whole disk."""
    for path in sorted(Path("/sys/block").iterdir()):
        if (path / "queue").exists() and not path.name.startswith(("loop", "ram", "zram")):
            return (path / "dev").read_text().strip()
    return pytest.skip("needs a disk")


def test_lines_92_to_109_limits_of_memory_cpu_and_processes_are_the_kernels(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    made.config["linux"]["resources"] = {
        "memory": {"limit": 96 * MIB, "reservation": 32 * MIB, "swap": 128 * MIB},
        "cpu": {"shares": 2048, "quota": 50000, "period": 200000, "burst": 10000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 33},
        "unified": {"memory.high": str(80 * MIB), "cgroup.max.depth": "5"},
    }
    name = started(made)
    group = directory(runner, name)
    assert shown(group, "memory.max", "memory.low", "memory.swap.max", "memory.high") == {
        "memory.max": str(96 * MIB),
        "memory.low": str(32 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.high": str(80 * MIB),
    }
    wanted = {"cpu.max": "50000 200000", "cpu.max.burst": "10000", "cpuset.cpus": "0", "cpuset.mems": "0"}
    assert shown(group, *wanted) == wanted
    assert 100 < int((group / "cpu.weight").read_text()) < 300
    assert shown(group, "pids.max", "cgroup.max.depth") == {"pids.max": "33", "cgroup.max.depth": "5"}
    changed = {
        "memory": {"limit": 160 * MIB, "reservation": 16 * MIB, "swap": 160 * MIB},
        "cpu": {"shares": 2, "quota": -1},
        "pids": {"limit": -1},
        "unified": {"memory.high": "max"},
    }
    runner.ok("update", "--resources", "-", name, input=json.dumps(changed))
    assert shown(group, "memory.max", "memory.low", "memory.swap.max", "memory.high", "cpu.weight", "pids.max") == {
        "memory.max": str(160 * MIB),
        "memory.low": str(16 * MIB),
        "memory.swap.max": "0",
        "memory.high": "max",
        "cpu.weight": "1",
        "pids.max": "max",
    }
    assert (group / "cpu.max").read_text() == "max 200000\n"
    runner.ok("update", "--cpu-quota", "30000", "--memory", "200M", "--memory-swap", "-1", name)
    assert shown(group, "cpu.max", "memory.max", "memory.swap.max") == {
        "cpu.max": "30000 200000",
        "memory.max": str(200 * MIB),
        "memory.swap.max": "max",
    }


def test_line_109_an_idle_group_is_idle(runner: Any, bundle: Callable[..., Any], started: Callable[..., str]) -> None:
    made = bundle("sleep", "1000")
    made.config["linux"]["resources"] = {"cpu": {"idle": 1, "shares": 100}}
    name = started(made)
    file = directory(runner, name) / "cpu.idle"
    if not file.exists():
        pytest.skip("this kernel has no cpu.idle on cgroup v2")
    assert file.read_text() == "1\n"
    runner.ok("update", "--cpu-idle", "0", name)
    assert file.read_text() == "0\n"


def test_lines_110_to_116_limits_of_a_disk_are_the_kernels(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    device = disk()
    major, minor = map(int, device.split(":"))
    made = bundle("sleep", "1000")
    entry = {"major": major, "minor": minor}
    made.config["linux"]["resources"] = {
        "blockIO": {
            "weight": 500,
            "throttleReadBpsDevice": [{**entry, "rate": 1 * MIB}],
            "throttleWriteBpsDevice": [{**entry, "rate": 2 * MIB}],
            "throttleReadIOPSDevice": [{**entry, "rate": 300}],
            "throttleWriteIOPSDevice": [{**entry, "rate": 400}],
        }
    }
    name = started(made)
    group = directory(runner, name)
    words = dict(word.split("=") for word in (group / "io.max").read_text().removeprefix(device).split())
    assert words == {"rbps": str(1 * MIB), "wbps": str(2 * MIB), "riops": "300", "wiops": "400"}
    weights = [group / file for file in ("io.bfq.weight", "io.weight") if (group / file).exists()]
    assert weights, "neither io.bfq.weight nor io.weight"
    assert weights[0].read_text().split()[:2] == ["default", "500" if "bfq" in weights[0].name else "4950"]
    change = {"blockIO": {"throttleReadBpsDevice": [{**entry, "rate": 3 * MIB}]}}
    runner.ok("update", "--resources", "-", name, input=json.dumps(change))
    assert f"rbps={3 * MIB} wbps={2 * MIB}" in (group / "io.max").read_text()


def test_line_117_huge_pages_are_limited(runner: Any, bundle: Callable[..., Any], started: Callable[..., str]) -> None:
    if not Path("/sys/kernel/mm/hugepages/hugepages-2048kB").exists():
        pytest.skip("needs huge pages of 2 MB")
    made = bundle("sleep", "1000")
    made.config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}
    group = directory(runner, started(made))
    assert shown(group, "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max") == {
        "hugetlb.2MB.max": str(4 * MIB),
        "hugetlb.2MB.rsvd.max": str(4 * MIB),
    }


def test_a_small_memory_limit_does_not_kill_the_start(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    made.config["linux"]["resources"] = {"memory": {"limit": 4 * MIB, "swap": 4 * MIB}}
    name = started(made)
    assert runner.state(name)["status"] == "running"
    assert (directory(runner, name) / "memory.max").read_text() == f"{4 * MIB}\n"


def test_an_out_of_memory_kill_is_an_event_and_the_programs_end(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "read x < /go; exec tail -c 512m /dev/zero")
    (made.rootfs / "bin/tail").symlink_to("busybox")
    os.mkfifo(made.rootfs / "go")
    made.config["linux"]["resources"] = {"memory": {"limit": 24 * MIB, "swap": 24 * MIB}}
    name = runner.id()
    null = subprocess.DEVNULL
    argv = runner.argv("run", "--keep", "--bundle", made.write().path, name)
    with subprocess.Popen(argv, stdin=null, stdout=null, stderr=null) as running:
        with open(made.rootfs / "go", "w") as go:  # opens when the program reads it
            argv = runner.argv("events", "--interval", "50ms", name)
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
                assert events.stdout is not None
                assert json.loads(events.stdout.readline())["type"] == "stats"
                go.write("now\n")
                go.flush()
                kinds = []
                while "oom" not in kinds:
                    assert select.select([events.stdout], [], [], 120)[0], kinds
                    line = events.stdout.readline()
                    assert line, f"events ended without an oom: {kinds[-3:]}"
                    kinds.append(json.loads(line)["type"])
                events.kill()
        assert running.wait(120) == 137
    assert "oom_kill 1" in (directory(runner, name) / "memory.events").read_text()


def test_figures_of_every_controller(runner: Any, bundle: Callable[..., Any], started: Callable[..., str]) -> None:
    made = bundle("sh", "-c", "cat /bin/busybox > /tmp/copy; echo done > /tmp/done; exec sleep 1000")
    made.config["linux"]["resources"] = {"memory": {"limit": 96 * MIB}, "pids": {"limit": 33}}
    name = started(made)
    data = json.loads(runner.ok("events", "--stats", name))["data"]
    assert data["memory"]["usage"]["limit"] == 96 * MIB
    assert 0 < data["memory"]["usage"]["usage"] < 96 * MIB
    assert data["memory"]["raw"]["anon"] >= 0
    assert (data["pids"]["current"], data["pids"]["limit"]) == (1, 33)
    assert data["cpu"]["usage"]["total"] > 0


def test_a_frozen_container_stands_still(runner: Any, bundle: Callable[..., Any], started: Callable[..., str]) -> None:
    name = started(bundle("sleep", "1000"))
    group = directory(runner, name)
    runner.ok("pause", name)
    assert "frozen 1" in (group / "cgroup.events").read_text()
    assert runner.state(name)["status"] == "paused"
    runner.ok("resume", name)
    assert "frozen 0" in (group / "cgroup.events").read_text()


def test_line_89_a_container_with_its_own_user_namespace_manages_its_group(
    runner: Any, bundle: Callable[..., Any]
) -> None:
    script = "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs && cat /proc/self/cgroup"
    made = bundle("sh", "-c", script, docker=True)
    linux = made.config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    for mount in made.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    subprocess.run(["chown", "-R", "200000:200000", made.rootfs], check=True)
    assert runner.out(made.write()) == "0::/own\n"


def test_line_91_devices_are_refused_by_the_program_on_the_group(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "mknod /tmp/kmsg c 1 11; cat /dev/null && echo null; cat /tmp/kmsg", docker=True)
    (made.rootfs / "bin/mknod").symlink_to("busybox")
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert done.stdout == "null\n"
    assert "Operation not permitted" in done.stderr
