"""What a runtime may raise with all capabilities only: limits, scores, priorities; and a container that has them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("resourceful")]

FILES = (4096, 8192)


def test_line_054_limits_are_raised_above_the_callers_own(runner: Any, bundle: Callable[..., Any]) -> None:
    """Soft and hard, for root and for a user, in the first process and in an executed one."""
    for uid in (0, 1000):
        made = bundle("sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sl; ulimit -Hu", user={"uid": uid, "gid": uid})
        made.config["process"]["rlimits"] = [
            {"type": "RLIMIT_NOFILE", "soft": FILES[0], "hard": FILES[1]},
            {"type": "RLIMIT_MEMLOCK", "soft": 1 << 40, "hard": 1 << 40},
            {"type": "RLIMIT_NPROC", "soft": 70000, "hard": 70000},
        ]
        argv = runner.argv("run", "--bundle", made.write().path, runner.id())
        low = ["prlimit", "--nofile=1024:1024", "--memlock=65536:65536", "--nproc=5000:5000"]
        done = subprocess.run([*low, *argv], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [*map(str, FILES), str((1 << 40) // 1024), "70000"]


def test_line_054_an_executed_program_has_the_raised_limits(
    runner: Any, bundle: Callable[..., Any], started: Callable[..., str]
) -> None:
    made = bundle("sleep", "1000")
    made.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": FILES[0], "hard": FILES[1]}]
    name = started(made)
    argv = runner.argv("exec", name, "/bin/sh", "-c", "ulimit -Sn; ulimit -Hn")
    low = ["prlimit", "--nofile=1024:1024"]
    done = subprocess.run([*low, *argv], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [*map(str, FILES)]), done.stderr


@pytest.mark.parametrize("score", [-1000, -500])
def test_line_063_the_score_is_lowered(runner: Any, bundle: Callable[..., Any], score: int) -> None:
    made = bundle("cat", "/proc/self/oom_score_adj", oomScoreAdj=score, user={"uid": 1000, "gid": 1000})
    assert runner.out(made) == f"{score}\n"


@pytest.mark.parametrize(
    ("scheduler", "policy", "priority"),
    [
        ({"policy": "SCHED_FIFO", "priority": 12}, 1, 12),
        ({"policy": "SCHED_RR", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, 2, 3),
        ({"policy": "SCHED_DEADLINE", "runtime": 2000000, "deadline": 10000000, "period": 20000000}, 6, 0),
        ({"policy": "SCHED_OTHER", "nice": -11}, 0, 0),
    ],
)
def test_line_064_real_time_and_raised_priorities(
    runner: Any, bundle: Callable[..., Any], scheduler: dict[str, Any], policy: int, priority: int
) -> None:
    made = bundle("cat", "/proc/self/stat", scheduler=scheduler)
    fields = runner.out(made).rpartition(")")[2].split()
    nice, found_priority, found_policy = (int(fields[number - 3]) for number in (19, 40, 41))
    assert (found_policy, found_priority) == (policy, priority)
    if "nice" in scheduler:
        assert nice == scheduler["nice"]


def test_line_065_the_real_time_class_of_io(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "ionice -p $$", ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 2})
    (made.rootfs / "bin/ionice").symlink_to("busybox")
    assert runner.out(made).split() == ["realtime:", "prio", "2"]


def test_lines_055_and_090_a_privileged_container_has_all(runner: Any, bundle: Callable[..., Any]) -> None:
    """As `docker run --privileged`: every capability, every device, no mask, and it may mount."""
    from ocicommon.linux.capabilities import NAMES

    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    names = list(NAMES[: last + 1])
    script = (
        "grep CapEff /proc/self/status; mount -t tmpfs none /tmp && echo mounted; mknod /tmp/z c 1 5;"
        "head -c 3 /tmp/z | wc -c; echo 1 > /proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward"
    )
    made = bundle("sh", "-c", script, docker=True)
    (made.rootfs / "bin/mknod").symlink_to("busybox")
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    made.config["process"]["capabilities"] = dict.fromkeys(kinds, names)
    made.config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    del made.config["linux"]["maskedPaths"], made.config["linux"]["readonlyPaths"]
    said = runner.out(made.write()).split()
    assert int(said[1], 16) == (1 << last + 1) - 1
    assert said[2:] == ["mounted", "3", "1"]


def test_line_082_memory_comes_from_the_nodes_that_are_asked_for(runner: Any, bundle: Callable[..., Any]) -> None:
    if not os.path.exists("/sys/devices/system/node/node1"):
        pytest.skip("needs two memory nodes")
    made = bundle("cat", "/proc/self/numa_maps")
    made.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1"}
    said = runner.out(made.write())
    assert "bind:1" in said
    made.config["linux"]["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0-1"}
    assert "interleave:0-1" in runner.out(made.write())
