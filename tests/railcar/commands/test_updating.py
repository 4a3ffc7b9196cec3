"""update, through the installed command."""

import json
from pathlib import Path

import pytest


def value(box, controller, file):
    paths = box.paths()
    if controller not in paths:
        pytest.skip(f"needs the v1 {controller} controller")
    path = Path(paths[controller], file)
    if not path.exists():
        pytest.skip(f"this kernel has no {file}")
    return path.read_text().strip()


CASES = [
    (92, ["--memory", "96M"], "memory", "memory.limit_in_bytes", str(96 << 20)),
    (93, ["--memory-reservation", "32M"], "memory", "memory.soft_limit_in_bytes", str(32 << 20)),
    (101, ["--cpu-share", "100"], "cpu", "cpu.shares", "100"),
    (102, ["--cpu-quota", "20000"], "cpu", "cpu.cfs_quota_us", "20000"),
    (103, ["--cpu-period", "50000"], "cpu", "cpu.cfs_period_us", "50000"),
    (107, ["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "0"),
    (108, ["--cpuset-mems=0"], "cpuset", "cpuset.mems", "0"),
    (109, ["--cpu-idle", "1"], "cpu", "cpu.idle", "1"),
    (120, ["--pids-limit", "40"], "pids", "pids.max", "40"),
    (120, ["--pids-limit", "-1"], "pids", "pids.max", "max"),
]


@pytest.mark.parametrize(("line", "options", "controller", "file", "expected"), CASES, ids=[str(c[1]) for c in CASES])
def test_options_reach_the_kernel(box, line, options, controller, file, expected):
    """Checklist 92, 93, 101 to 103, 107 to 109, 120 for a running container."""
    box.start()
    value(box, controller, file)
    box.command("update", *options, "ID")
    assert value(box, controller, file) == expected


def test_resources_from_standard_input(box):
    """Checklist 92, 120: as engines send them, with zeros for what shall stay."""
    box.config["linux"]["resources"] = {"memory": {"limit": 128 << 20}, "pids": {"limit": 50}}
    box.start()
    sent = {"memory": {"limit": 256 << 20, "swap": 0}, "cpu": {"shares": 0, "cpus": ""}, "pids": {"limit": 0}}
    box.command("update", "--resources", "-", "ID", text=json.dumps(sent))
    assert value(box, "memory", "memory.limit_in_bytes") == str(256 << 20)
    assert value(box, "pids", "pids.max") == "50"
    box.command("update", "--resources=-", "ID", text=json.dumps({"pids": {"limit": 60}}))
    assert value(box, "pids", "pids.max") == "60"


def test_resources_from_a_file(box, tmp_path):
    box.start()
    file = tmp_path / "resources.json"
    file.write_text(json.dumps({"cpu": {"quota": 30000, "period": 60000}}))
    box.command("update", "-r", str(file), "ID")
    assert value(box, "cpu", "cpu.cfs_quota_us") == "30000"


def test_what_was_updated_is_remembered(box):
    box.start()
    box.command("update", "--memory", "96M", "ID")
    kept = json.loads((box.root / box.name / "config.json").read_text())
    assert kept["linux"]["resources"]["memory"]["limit"] == 96 << 20


def test_a_refused_value_is_one_sentence(box):
    box.start()
    value(box, "cpuset", "cpuset.cpus")
    done = box.command("update", "--cpuset-cpus", "4000", "ID", check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "linux.resources.cpu.cpus" in done.stderr
    done = box.command("update", "--resources", "-", "ID", text="[]", check=False)
    assert "the resources must be an object" in done.stderr


def test_line_100_a_limit_under_the_usage_is_refused(box):
    """Checklist 100."""
    box.config["linux"]["resources"] = {"memory": {"limit": 128 << 20}}
    box.start("busybox dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; echo ready; exec busybox cat /wait")
    value(box, "memory", "memory.limit_in_bytes")
    sent = json.dumps({"memory": {"limit": 4096, "checkBeforeUpdate": True}})
    done = box.command("update", "--resources", "-", "ID", text=sent, check=False)
    assert done.returncode == 1
    assert "exceeds the new limit 4096" in done.stderr
    assert value(box, "memory", "memory.limit_in_bytes") == str(128 << 20)


def test_line_92_a_small_memory_limit_does_not_kill_the_start(box):
    """Checklist 92: limits under 64 MiB are written when the container is ready."""
    box.config["linux"]["resources"] = {"memory": {"limit": 4 << 20}}
    box.start()
    assert value(box, "memory", "memory.limit_in_bytes") == str(4 << 20)
    assert box.state()["status"] == "running"
