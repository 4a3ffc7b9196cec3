"""The D-Bus that railcar speaks: its bytes, a real bus, and a manager that we play ourselves."""

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from railcar import cgroups
from railcar.cgroups import dbus, driver, properties
from railcar.cgroups.create import create
from railcar.cgroups.update import update
from railcar.errors import RailcarError


def test_the_bytes_of_a_call():
    """Hello, as the specification lays it out, byte by byte."""
    fields = {
        dbus.PATH: "/org/freedesktop/DBus",
        dbus.INTERFACE: "org.freedesktop.DBus",
        dbus.MEMBER: "Hello",
        dbus.DESTINATION: "org.freedesktop.DBus",
    }
    data = dbus.encode(dbus.Message(dbus.CALL, 1, fields, []))
    head = b"l\x01\x00\x01" + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + (110 - 1).to_bytes(4, "little")
    assert data[:16] == head
    assert data[16:50] == b"\x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00" + bytes(2) + b"\x02\x01"
    assert len(data) % 8 == 0
    assert dbus.length(data) == len(data)


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("s", ["text"]),
        ("ssa(sv)", ["a", "b", [("Delegate", ("b", True)), ("PIDs", ("au", [1, 2])), ("AllowedCPUs", ("ay", [255]))]]),
        ("a(sa(sv))", [[]]),
        ("yt", [7, 1 << 63]),
        ("v", [("as", ["x", "yy"])]),
        ("dxnq", [1.5, -5, -2, 9]),
        ("go", ["a(sv)", "/a/b"]),
        ("a{sv}", [[("key", ("u", 5))]]),
    ],
)
def test_values_come_back_as_they_went(signature, values):
    fields = {dbus.PATH: "/", dbus.MEMBER: "M", dbus.SIGNATURE: signature}
    assert dbus.decode(dbus.encode(dbus.Message(dbus.CALL, 5, fields, values))).body == values


def test_a_real_bus_understands_us(tmp_path, monkeypatch):
    if not shutil.which("dbus-daemon"):
        pytest.skip("needs dbus-daemon")
    path = tmp_path / "bus"
    configuration = tmp_path / "bus.conf"
    configuration.write_text(
        f"<busconfig><type>session</type><listen>unix:path={path}</listen>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>'
        '<allow own="*"/></policy></busconfig>'
    )
    command = ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stdout.readline().startswith("unix:"), daemon.stderr.read()
            connection = dbus.Connection(str(path), True)
            (names,) = connection.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ListNames")
            assert "org.freedesktop.DBus" in names
            with pytest.raises(dbus.CallError, match="systemd refused StopUnit"):
                connection.call(
                    "org.freedesktop.systemd1", "/", "org.freedesktop.systemd1.Manager", "StopUnit", "s", "x"
                )
            connection.close()
        finally:
            daemon.kill()


class Manager(threading.Thread):
    """systemd's part: answers, makes the scope's directory in one hierarchy, and says that the job is done."""

    def __init__(self, path: str, control_group: str, mount: str, result: str = "done") -> None:
        super().__init__(daemon=True)
        self.control_group = control_group
        self.mount = mount
        self.result = result
        self.calls: list[tuple[str, list[object]]] = []
        self.group = ""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(5)
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                self.serve(peer)

    def serve(self, peer: socket.socket) -> None:
        data = b""
        # Before BEGIN nothing is said, and what came with it is lost: systemd lets it lie.
        while b"BEGIN\r\n" not in data:
            data += peer.recv(100)
        peer.sendall(b"DATA\r\nOK 0123456789abcdef\r\n")
        data = b""
        serial = 100
        while True:
            while len(data) < 16 or len(data) < dbus.length(data):
                part = peer.recv(65536)
                if not part:
                    return
                data += part
            size = dbus.length(data)
            call = dbus.decode(data[:size])
            data = data[size:]
            member = call.fields[dbus.MEMBER]
            self.calls.append((member, call.body))
            body, signature = self.answer(member, call.body)
            serial += 1
            fields = {dbus.REPLY_SERIAL: call.serial}
            if signature:
                fields[dbus.SIGNATURE] = signature
            peer.sendall(dbus.encode(dbus.Message(dbus.RETURN, serial, fields, body)))
            if member in ("StartTransientUnit", "StopUnit"):
                fields = {dbus.PATH: "/x", dbus.INTERFACE: "i", dbus.MEMBER: "JobRemoved", dbus.SIGNATURE: "uoss"}
                done = [1, "/job/1", str(call.body[0]), self.result]
                peer.sendall(dbus.encode(dbus.Message(dbus.SIGNAL, serial + 1000, fields, done)))

    def answer(self, member: str, body: list[object]) -> tuple[list[object], str]:
        if member == "Hello":
            return [":1.5"], "s"
        if member == "Get":
            return [("s", self.control_group)], "v"
        if member == "StartTransientUnit":
            given = dict(body[2])
            if self.mount and self.result == "done":
                self.group = f"{self.mount}{self.control_group}/user.slice/{body[0]}"
                os.makedirs(self.group)
                Path(self.group, "cgroup.procs").write_text(str(given["PIDs"][1][0]))
            return ["/job/1"], "o"
        if member == "StopUnit":
            return ["/job/1"], "o"
        return [], ""


@pytest.fixture
def manager(tmp_path, monkeypatch, name):
    started = []

    def start(mount="", result="done"):
        path = str(tmp_path / "bus")
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}")
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        started.append(Manager(path, "/" + name, mount, result))
        return started[0]

    yield start
    for one in started:
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()


@pytest.mark.root
def test_line_87_a_scope_is_made_filled_changed_and_stopped(here, name, manager, sleeper):
    """Checklist 87: with a manager that we play, and real v1 groups around it."""
    systemd = here.controller("name=systemd")
    if systemd is None or here.controller("pids") is None:
        pytest.skip("no named systemd hierarchy, or no pids controller on v1")
    played = manager(systemd.mount)
    resources = {"memory": {"limit": 128 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 30}}
    annotations = {"org.systemd.property.TimeoutStopSec": "uint64 5"}
    plan = cgroups.plan(
        here, "box", "user.slice:railcar:box", resources, systemd=True, rootless=True, annotations=annotations
    )
    pid = sleeper()
    group = create(plan)
    assert not group.exists()
    try:
        driver.join(group, pid)
        assert group.pids() == [pid]
        assert group.paths["pids"].endswith(f"/{name}/user.slice/railcar-box.scope")
        assert Path(group.paths["memory"], "memory.limit_in_bytes").read_text() == f"{128 << 20}\n"
        _, (unit, mode, given, _) = next(call for call in played.calls if call[0] == "StartTransientUnit")
        found = dict(given)
        assert (unit, mode) == ("railcar-box.scope", "replace")
        assert found["PIDs"] == ("au", [pid])
        assert found["Slice"] == ("s", "user.slice")
        assert found["Delegate"] == ("b", True)
        assert found["TimeoutStopUSec"] == ("t", 5_000_000)
        assert found["CPUShares"] == ("t", 512)
        driver.apply_late(group)
        assert Path(group.paths["pids"], "pids.max").read_text() == "30\n"
        assert played.calls[-1] == ("SetUnitProperties", ["railcar-box.scope", True, played.calls[-1][1][2]])
        assert dict(played.calls[-1][1][2])["TasksMax"] == ("t", 30)
        update(group, {"cpu": {"shares": 256}})
        assert Path(group.paths["cpu"], "cpu.shares").read_text() == "256\n"
        assert played.calls[-1][0] == "SetUnitProperties"
        with pytest.raises(RailcarError, match="container's cgroup is not empty: 1 process"):
            create(plan)
        assert group.pids() == [pid]
    finally:
        group.kill()
        driver.destroy(cgroups.from_record(group.record()))
        group.close()
        for hierarchy in here.hierarchies:
            for path in (f"/{name}/user.slice", f"/{name}"):
                if os.path.isdir(hierarchy.mount + path):
                    os.rmdir(hierarchy.mount + path)
        if here.unified and os.path.isdir(f"{here.unified.mount}/{name}"):
            os.rmdir(f"{here.unified.mount}/{name}/user.slice")
            os.rmdir(f"{here.unified.mount}/{name}")
    assert "StopUnit" in [member for member, _ in played.calls]


def test_a_job_that_fails_is_told(v2, name, manager):
    manager(result="failed")
    plan = cgroups.plan(v2, "box", "", {}, systemd=True, rootless=True)
    with pytest.raises(RailcarError, match=r"did not start the unit railcar-box\.scope: its job ended with 'failed'"):
        driver.join(create(plan), 1)


def test_without_systemd_the_error_says_what_was_tried(v2, monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    plan = cgroups.plan(v2, "box", "", {}, systemd=True, rootless=True)
    with pytest.raises(RailcarError, match=r"cannot reach the user's systemd \(D-Bus: .*/none: No such file"):
        driver.join(create(plan), 1)


def test_line_87_limits_as_properties():
    """Checklist 87, 92 to 94, 101 to 103, 107, 108, 110, 120 under the systemd driver."""
    resources = {
        "memory": {"limit": 1 << 30, "swap": 1 << 31, "reservation": 4096},
        "cpu": {"shares": 1024, "quota": 50001, "period": 100000, "cpus": "0-1,9", "mems": "0"},
        "blockIO": {"weight": 10},
        "pids": {"limit": -1},
    }
    assert dict(properties.limits(resources, "v2")) == {
        "MemoryMax": ("t", 1 << 30),
        "MemoryLow": ("t", 4096),
        "MemorySwapMax": ("t", 1 << 30),
        "CPUWeight": ("t", 100),
        "CPUQuotaPeriodUSec": ("t", 100000),
        "CPUQuotaPerSecUSec": ("t", 510000),
        "AllowedCPUs": ("ay", [3, 2]),
        "AllowedMemoryNodes": ("ay", [1]),
        "IOWeight": ("t", 1),
        "TasksMax": ("t", properties.INFINITY),
    }
    assert dict(properties.limits(resources, "v1"))["BlockIOWeight"] == ("t", 10)


def test_line_122_unified_as_properties():
    """Checklist 122 under the systemd driver: what stands there goes before the fields of other sections."""
    resources = {
        "memory": {"limit": 1 << 30},
        "cpu": {"shares": 1024},
        "unified": {
            "memory.max": "41943040",
            "memory.high": " 20971520\n",
            "memory.swap.max": "max",
            "pids.max": "99",
            "cpu.max": "10000 100000",
            "cpu.weight": "42",
            "cpuset.cpus": "0-1",
            "memory.oom.group": "1",
            "io.max": "8:0 rbps=1",
        },
    }
    assert dict(properties.limits(resources, "v2")) == {
        "MemoryMax": ("t", 41943040),
        "MemoryHigh": ("t", 20971520),
        "MemorySwapMax": ("t", properties.INFINITY),
        "TasksMax": ("t", 99),
        "CPUQuotaPeriodUSec": ("t", 100000),
        "CPUQuotaPerSecUSec": ("t", 100000),
        "CPUWeight": ("t", 42),
        "AllowedCPUs": ("ay", [3]),
    }
    assert ("MemoryMax", ("t", 1 << 30)) not in properties.limits(resources, "v2")
    assert dict(properties.limits({"unified": {"cpu.max": "max", "pids.max": "many"}}, "v2")) == {
        "CPUQuotaPerSecUSec": ("t", properties.INFINITY)
    }


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("TimeoutStopUSec", "uint64 123", ("TimeoutStopUSec", ("t", 123))),
        ("TimeoutStopSec", "5", ("TimeoutStopUSec", ("t", 5_000_000))),
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", ("s", "inactive-or-failed"))),
        ("SendSIGHUP", "true", ("SendSIGHUP", ("b", True))),
        ("KillSignal", "int32 9", ("KillSignal", ("i", 9))),
    ],
)
def test_line_29_annotations_become_properties(name, words, expected):
    """Checklist 29: org.systemd.property.*"""
    assert properties.annotations({"org.systemd.property." + name: words, "other": "x"}) == [expected]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ExecStartPre", "'/bin/sh'"),
        ("Slice", "'x.slice'"),
        ("CollectMode", "inactive"),
        ("TasksMax", "-1"),
        ("TasksMax", ""),
    ],
)
def test_line_29_harmful_and_malformed_ones_are_refused(name, words):
    """Checklist 29."""
    with pytest.raises(RailcarError, match=rf"annotation org\.systemd\.property\.{name}"):
        properties.annotations({"org.systemd.property." + name: words})
