"""pause, resume, ps, list and events, through the installed command."""

import json
import os
import select
import subprocess

import pytest


def test_pause_and_resume(box):
    box.start()
    box.command("pause", "ID")
    assert box.state()["status"] == "paused"
    again = box.command("pause", "ID", check=False)
    assert (again.returncode, again.stderr.strip().endswith("container not running")) == (1, True)
    box.command("resume", "ID")
    assert box.state()["status"] == "running"
    again = box.command("resume", "ID", check=False)
    assert (again.returncode, again.stderr.strip().endswith("container not paused")) == (1, True)


def test_a_paused_container_is_deleted_by_force(box):
    box.start()
    paths = box.paths()
    box.command("pause", "ID")
    box.command("delete", "--force", "ID")
    assert not any(os.path.exists(path) for path in paths.values())


@pytest.mark.parametrize("command", ["pause", "resume", "ps", "update", "events"])
def test_an_unknown_container_is_named(box, command):
    done = box.command(command, "nobody", check=False)
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert done.stderr.strip().endswith("container does not exist")


def test_ps_shows_the_container_alone(box):
    box.start()
    pid = box.state()["pid"]
    assert json.loads(box.command("ps", "--format", "json", "ID").stdout) == [pid]
    assert box.command("ps", "-f", "json", "ID").stderr == ""
    header, line = box.command("ps", "ID").stdout.splitlines()
    assert "PID" in header.split()
    assert str(pid) in line.split()
    assert "/wait" in line
    header, line = box.command("ps", "ID", "-o", "pid,uid").stdout.splitlines()
    assert line.split() == [str(pid), "0"]
    assert box.command("ps", "ID", "--", "-o", "pid").stdout.split() == ["PID", str(pid)]


def test_ps_without_the_host_s_ps(box, tmp_path, monkeypatch):
    box.start()
    monkeypatch.setenv("PATH", str(tmp_path))
    header, line = box.command("ps", "ID").stdout.splitlines()
    assert header.split() == ["UID", "PID", "PPID", "CMD"]
    assert line.split()[1] == str(box.state()["pid"])


def test_ps_refuses_an_unknown_format(box):
    box.start()
    done = box.command("ps", "-f", "yaml", "ID", check=False)
    assert done.stderr.strip() == 'ps: --format is "yaml": it can be table or json'


def test_list_in_three_forms(box):
    assert box.command("list", "--format", "json").stdout == "null\n"
    assert box.command("list").stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    box.start()
    (entry,) = json.loads(box.command("list", "--format", "json").stdout)
    assert [entry[key] for key in ("id", "status", "bundle")] == [box.name, "running", str(box.bundle)]
    assert list(entry)[:5] == ["ociVersion", "id", "pid", "status", "bundle"]
    assert box.command("list", "-q").stdout == box.name + "\n"
    row = box.command("list").stdout.splitlines()[1].split()
    assert row[:4] == [box.name, str(entry["pid"]), "running", str(box.bundle)]
    assert row[5] == entry["owner"] == "root"
    box.command("kill", "ID", "KILL")


def test_stats_have_the_shape_that_engines_read(box):
    box.start()
    event = json.loads(box.command("events", "--stats", "ID").stdout)
    assert (event["type"], event["id"]) == ("stats", box.name)
    data = event["data"]
    assert set(data) >= {"cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"}
    assert data["pids"]["current"] == 1 or "pids" not in box.paths()
    assert data["cpu"]["usage"]["total"] > 0
    assert set(data["memory"]["usage"]) >= {"limit", "failcnt"}


def test_events_end_with_the_container(box):
    box.start()
    argv = [str(box.railcar), "--root", str(box.root), "events", "--interval", "20ms", box.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        first = json.loads(process.stdout.readline())
        second = json.loads(process.stdout.readline())
        assert first["type"] == second["type"] == "stats"
        box.command("kill", "ID", "KILL")
        process.stdout.read()
        assert process.wait(60) == 0


def test_events_tell_of_an_out_of_memory_kill(box):
    if "memory" not in _controllers():
        pytest.skip("needs the v1 memory controller")
    box.config["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    os.mkfifo(box.bundle / "rootfs/go")
    box.start("echo ready; read x < /go; /bin/busybox tail -c 64m /dev/zero; echo survived; /bin/busybox cat /wait")
    argv = [str(box.railcar), "--root", str(box.root), "events", "--interval", "20ms", box.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["type"] == "stats"
        with open(box.bundle / "rootfs/go", "w") as go:
            go.write("now\n")
        try:
            while True:
                ready, _, _ = select.select([process.stdout], [], [], 60)
                assert ready, "no event"
                line = process.stdout.readline()
                assert line, "events ended without an oom"
                if json.loads(line)["type"] == "oom":
                    break
        finally:
            process.kill()


def _controllers() -> set[str]:
    with open("/proc/self/cgroup") as file:
        return {name for line in file for name in line.split(":")[1].split(",")}
