"""linux.namespaces: new, joined by path, or inherited; and the ids of user namespaces. config-linux.md."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

FILES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
LINES = {"pid": 67, "network": 68, "mount": 69, "ipc": 70, "uts": 71, "user": 72, "cgroup": 73, "time": 74}


def inside(box: Any, kind: str) -> str:
    return str(box.run(f"readlink /proc/self/ns/{FILES[kind]}").stdout.strip())


def outside(kind: str, pid: int | str = "self") -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


@pytest.fixture(params=sorted(FILES))
def kind(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not Path(f"/proc/self/ns/{FILES[name]}").exists():
        pytest.skip(f"this kernel has no {name} namespaces")
    return name


def want(box: Any, kind: str, path: str = "") -> None:
    listed = [entry for entry in box.config["linux"]["namespaces"] if entry["type"] != kind]
    if kind == "user" and not path:
        box.user_namespace()
        return
    box.config["linux"]["namespaces"] = [*listed, {"type": kind, "path": path} if path else {"type": kind}]


def test_line_067_to_074_a_new_namespace_is_not_the_hosts(box: Any, kind: str) -> None:
    want(box, kind)
    assert inside(box, kind) != outside(kind)


def test_line_076_what_is_not_listed_is_inherited(box: Any, kind: str) -> None:
    if kind == "mount":
        pytest.skip("without a mount namespace there can be no procfs to look at")
    box.config["linux"]["namespaces"] = [e for e in box.config["linux"]["namespaces"] if e["type"] != kind]
    assert inside(box, kind) == outside(kind)


@pytest.fixture
def another(kind: str) -> Iterator[tuple[int, str]]:
    """A process in a namespace of its own of this kind: its pid, and the kind."""
    options = {"pid": ["-p", "-f"], "network": ["-n"], "mount": ["-m"], "ipc": ["-i"], "uts": ["-u"]}
    options |= {"user": ["-U", "-r"], "cgroup": ["-C"], "time": ["-T", "-f"]}
    command = ["unshare", *options[kind], "sh", "-c", "echo $$; exec sleep 1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            pytest.skip(f"cannot make a {kind} namespace here")
        pid = process.pid
        if "-f" in options[kind]:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            pid = int(children.read_text().split()[0])
        try:
            yield pid, kind
        finally:
            os.kill(pid, 9)
            process.wait()


def test_line_075_a_namespace_is_joined_by_its_path(box: Any, another: tuple[int, str]) -> None:
    pid, kind = another
    expected = outside(kind, pid)
    want(box, kind, f"/proc/{pid}/ns/{FILES[kind]}")
    assert inside(box, kind) == expected


def test_line_075_a_namespace_of_another_type_is_refused(box: Any, kind: str) -> None:
    wrong = "ipc" if kind != "ipc" else "uts"
    want(box, kind, f"/proc/self/ns/{wrong}")
    said = box.run("true", fails=True).stderr
    assert kind in said
    assert f"/proc/self/ns/{wrong}" in said


def test_line_075_a_path_that_is_not_there_is_named(box: Any, kind: str) -> None:
    want(box, kind, "/no/such/namespace")
    assert "/no/such/namespace" in box.run("true", fails=True).stderr


def test_line_075_a_kind_twice_is_refused(box: Any, kind: str) -> None:
    want(box, kind)
    box.config["linux"]["namespaces"].append({"type": kind})
    said = box.run("true", fails=True).stderr
    assert kind in said


def test_line_075_an_unknown_kind_is_refused(box: Any) -> None:
    box.config["linux"]["namespaces"].append({"type": "universe"})
    assert "universe" in box.run("true", fails=True).stderr


def test_line_077_several_ranges_of_ids(box: Any) -> None:
    box.user_namespace()
    ranges = [(0, 100000, 1000), (1000, 300000, 10), (70000, 200000, 5)]
    for key in ("uidMappings", "gidMappings"):
        box.config["linux"][key] = [{"containerID": a, "hostID": b, "size": n} for a, b, n in ranges]
    found = box.run("cat /proc/self/uid_map; echo; cat /proc/self/gid_map").stdout
    for text in found.split("\n\n"):
        assert [tuple(map(int, line.split())) for line in text.split("\n") if line] == ranges


def test_line_072_and_077_root_in_the_container_is_nobody_outside(box: Any) -> None:
    box.user_namespace(123456)
    (box.directory / "out").mkdir()
    os.chown(box.directory / "out", 123456, 123456)
    box.add("/out", "", "out", "bind")
    assert box.run("id -u; touch /out/made").stdout == "0\n"
    assert (box.directory / "out/made").stat().st_uid == 123456


def test_line_077_a_mapping_without_a_user_namespace_is_refused(box: Any) -> None:
    box.config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 1, "size": 1}]
    assert "uidMappings" in box.run("true", fails=True).stderr


def test_line_078_clocks_have_their_offsets(box: Any) -> None:
    if not Path("/proc/self/timens_offsets").exists():
        pytest.skip("this kernel has no time namespaces")
    years = 10 * 365 * 86400
    box.config["linux"]["namespaces"].append({"type": "time"})
    box.config["linux"]["timeOffsets"] = {"boottime": {"secs": years}, "monotonic": {"secs": 2 * years, "nanosecs": 5}}
    found = box.run("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime").stdout.split()
    assert found[:6] == ["monotonic", str(2 * years), "5", "boottime", str(years), "0"]
    assert int(found[6]) >= years


def test_line_078_offsets_need_a_time_namespace(box: Any) -> None:
    box.config["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
    assert "time" in box.run("true", fails=True).stderr


def test_line_070_shared_memory_is_the_containers(box: Any) -> None:
    if not shutil.which("ipcmk"):
        pytest.skip("needs ipcmk (Debian: util-linux)")
    assert len(box.run("cat /proc/sysvipc/shm").stdout.splitlines()) == 1


def test_line_068_a_new_network_has_a_loopback_that_is_up(box: Any) -> None:
    assert "LOOPBACK,UP" in box.run("ip link show lo").stdout


def test_line_067_the_process_is_the_first(box: Any) -> None:
    assert box.run("echo $$").stdout == "1\n"


def test_line_067_orphans_end_with_the_container(box: Any) -> None:
    box.run("(sleep 1000; :) >/dev/null 2>&1 & echo started")
    mark = f"/var/tmp/{box.directory.name}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [p for p in Path("/proc").glob("[0-9]*/root") if _target(p).startswith(mark)]
        if not left:
            break
        time.sleep(0.05)
    assert not left


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
