"""checkpoint and restore: what criu is asked for, what is refused, and the real thing where criu works."""

import os
import select
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from railcar.criu import messages, options
from railcar.errors import RailcarError

CONFIG: dict[str, Any] = {
    "annotations": {"org.criu.config": "/etc/criu/own.conf"},
    "linux": {"namespaces": [{"type": "network", "path": "/run/netns/a"}, {"type": "mount"}]},
}


def request(**changes: Any) -> options.Request:
    made = options.Request("/image", "/work")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


COMMON = {"log_level": 4, "notify_scripts": True, "orphan_pts_master": True}


def dumped(config: dict[str, Any], wanted: options.Request) -> dict[str, Any]:
    return options.dump(
        config,
        wanted,
        pid=42,
        rootfs="/b/rootfs",
        freezer="/sys/fs/cgroup/freezer/a",
        external=["/data"],
        streams=["pipe:[7]", "file[1a:5] /dev/null", "file[1a:5] /dev/null"],
        inode=lambda path: 99,
    )


def test_plan_of_a_dump() -> None:
    wanted = request(flags=["tcp_established", "file_locks"], cgroups_mode="ignore", leave_running=True)
    assert dumped(CONFIG, wanted) == {
        **COMMON,
        "log_file": "dump.log",
        "manage_cgroups_mode": 0,
        "config_file": "/etc/criu/own.conf",
        "tcp_established": True,
        "file_locks": True,
        "pid": 42,
        "root": "/b/rootfs",
        "freeze_cgroup": "/sys/fs/cgroup/freezer/a",
        "leave_running": True,
        "external": ["net[99]:extRootNetNS", "file[1a:5]", "mnt[/data]:/data"],
    }


def test_plan_of_a_pre_dump_and_of_the_dump_after_it() -> None:
    first = dumped({}, request(pre_dump=True))
    assert first["track_mem"] is True
    assert not any(key.startswith("mnt[") for key in first["external"])
    second = dumped({}, request(parent="../first", empty_network=True))
    assert (second["track_mem"], second["parent_img"], second["empty_ns"]) == (True, "../first", 0x40000000)


def test_network_of_the_hosts_hooks_is_theirs() -> None:
    for kind, mask in (("prestart", 0x40000000), ("createRuntime", 0x40000000), ("poststop", None)):
        assert dumped({"hooks": {kind: [{"path": "/x"}]}}, request()).get("empty_ns") == mask
        assert restored({"hooks": {kind: [{"path": "/x"}]}}, request()).get("empty_ns") == mask


def test_file_of_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for_all = tmp_path / "runc.conf"
    for_all.touch()
    monkeypatch.setattr(options, "SETTINGS", (str(tmp_path / "railcar.conf"), str(for_all)))
    assert dumped({}, request())["config_file"] == str(for_all)
    assert dumped(CONFIG, request())["config_file"] == "/etc/criu/own.conf"


def test_plan_of_a_lazy_dump() -> None:
    wanted = request(flags=["lazy_pages"], page_server=("0.0.0.0", 27277))
    assert dumped({}, wanted)["ps"] == {"address": "0.0.0.0", "port": 27277}


def restored(config: dict[str, Any], wanted: options.Request) -> dict[str, Any]:
    return options.restore(
        config,
        wanted,
        root="/run/a/criu-root",
        external=[("/data", "/srv/data"), ("/proc/kcore", "/dev/null")],
        inherited={"pipe:[7]": 0, "file[1a:5] /dev/null": 9},
        groups="4:memory:/x\n0::/x\n",
        opened=lambda path: 11,
    )


def test_plan_of_a_restore() -> None:
    assert restored(CONFIG, request(values={"lsm_profile": "apparmor:own"})) == {
        **COMMON,
        "log_file": "restore.log",
        "manage_cgroups_mode": 3,
        "config_file": "/etc/criu/own.conf",
        "lsm_profile": "apparmor:own",
        "root": "/run/a/criu-root",
        "evasive_devices": True,
        "rst_sibling": True,
        "external": ["mnt[/data]:/srv/data", "mnt[/proc/kcore]:/dev/null"],
        "inherit_fd": [
            {"key": "pipe:[7]", "fd": 0},
            {"key": "file[1a:5]", "fd": 9},
            {"key": "extRootNetNS", "fd": 11},
        ],
        "join_ns": [],
        "cg_root": [{"ctrl": "memory", "path": "/x"}, {"path": "/x"}],
    }


def test_namespace_that_criu_cannot_enter_is_refused() -> None:
    config = {"linux": {"namespaces": [{"type": "cgroup", "path": "/x"}]}}
    with pytest.raises(RailcarError, match="cgroup namespace"):
        restored(config, request())


def test_messages_are_those_of_protocol_buffers() -> None:
    """The bytes are what `protoc --encode` makes of the same text with criu's rpc.proto."""
    told = {"type": messages.DUMP, "opts": {"images_dir_fd": -1, "pid": 300, "root": "/r", "external": ["a", "b"]}}
    expected = bytes.fromhex("0801121a08ffffffffffffffffff0110ac026a022f72aa020161aa020162")
    assert messages.encode(told, messages.REQUEST) == expected
    answer = bytes.fromhex("08061001") + bytes.fromhex("2a10 0a0c") + b"post-restore" + bytes.fromhex("10 2a")
    assert messages.decode(answer, messages.RESPONSE) == {
        "type": messages.NOTIFY,
        "success": 1,
        "notify": {"script": "post-restore", "pid": 42},
    }
    unknown = bytes.fromhex("98 06 01") + bytes.fromhex("9d06 01020304") + bytes.fromhex("3805")
    assert messages.decode(unknown, messages.RESPONSE) == {"cr_errno": 5}
    for cut in (answer[:-1], b"\x2a\x7f", b"\xff" * 12, b"\x0b"):
        with pytest.raises(RailcarError, match="cut off"):
            messages.decode(cut, messages.RESPONSE)


def test_what_comes_from_outside() -> None:
    listed: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/data/", "type": "bind", "source": "data", "options": ["rbind"]},
        {"destination": "/etc/hosts", "type": "none", "source": "/srv/hosts", "options": ["bind", "ro"]},
        {"destination": "/cg", "type": "cgroup", "source": "cgroup"},
        {"destination": "/data", "options": ["remount", "bind"]},
    ]
    groups = [
        {"destination": "/cg", "type": "tmpfs", "source": "tmpfs", "options": []},
        {"destination": "/cg/pids", "type": "bind", "source": "/sys/fs/cgroup/pids/a", "options": ["bind"]},
        {"destination": "/cg/cpu", "type": "symlink", "source": "cpu,cpuacct"},
        {"destination": "/cg", "type": "remount", "source": "", "options": ["remount", "bind", "ro"]},
    ]
    assert options.binds(listed, "/b", lambda mount: groups) == [
        ("/data", "/b/data"),
        ("/etc/hosts", "/srv/hosts"),
        ("/cg/pids", "/sys/fs/cgroup/pids/a"),
    ]


def test_masks_streams_and_complaints() -> None:
    mountinfo = (
        "31 30 0:5 /null /proc/kcore rw - devtmpfs dev rw\n"
        "32 30 0:9 / /proc/acpi ro - tmpfs tmpfs ro\n"
        "33 30 8:1 / / rw master:1 - ext4 /dev/sda rw\n"
    )
    assert options.masked(["/proc/kcore", "/proc/acpi", "/proc/keys"], mountinfo) == ["/proc/kcore"]
    assert options.stream("pipe:[5]", "mnt_id:\t15\n", 5, mountinfo) == "pipe:[5]"
    assert options.stream("/log", "pos:\t0\nmnt_id:\t33\n", 5, mountinfo) == "/log"
    assert options.stream("/dev/null", "mnt_id:\t26\n", 10, mountinfo) == "file[1a:a] /dev/null"
    assert [options.handed_on(text) for text in ("pipe:[5]", "/log", "file[1a:a] /dev/null")] == [True, False, True]
    assert options.complaint("(0.1) all well\n(0.2) Error (a.c:1): no\n") == "(0.2) Error (a.c:1): no"


def test_refusals_are_clear(runner: Any, bundle: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing of a container is touched by what cannot be done."""
    for command in ("checkpoint", "restore"):
        assert runner(command, "--help").returncode == 0
        done = runner(command, "--manage-cgroups-mode", "odd", "none")
        assert (done.returncode, "soft, full, strict, ignore" in done.stderr) == (1, True)
    assert "container does not exist" in runner("checkpoint", "none").stderr
    assert "flag needs an argument" in runner("restore", "--lsm-mount-context").stderr
    made = bundle("sleep", "1000")
    container = runner.id()
    runner.ok("create", "--bundle", made.path, container)
    assert "container not running" in runner("checkpoint", container).stderr
    runner.ok("start", container)
    bare = {"PATH": str(tmp_path)}
    done = runner("checkpoint", "--image-path", tmp_path / "image", container, env=bare)
    assert done.returncode == 1
    assert "criu is not in PATH" in done.stderr
    done = runner("checkpoint", "--parent-path", "/x", "--image-path", tmp_path / "image", container)
    assert (done.returncode, "--parent-path" in done.stderr) == (1, True)
    false = tmp_path / "criu"
    false.write_text("#!/bin/sh\nexit 3\n")
    false.chmod(0o755)
    done = runner("--criu", false, "checkpoint", "--image-path", tmp_path / "image", container)
    assert done.returncode == 1
    assert "criu dump failed (exit code 3)" in done.stderr
    runner.ok("delete", "--force", container)
    done = runner("--criu", false, "restore", "--image-path", tmp_path, "--bundle", made.path, container)
    assert (done.returncode, "inventory.img" in done.stderr) == (1, True)
    (tmp_path / "inventory.img").touch()
    done = runner("--criu", false, "restore", "--image-path", tmp_path, "--bundle", made.path, container)
    assert (done.returncode, "criu restore failed (exit code 3)" in done.stderr) == (1, True)
    assert "container does not exist" in runner("state", container).stderr


def test_what_a_killed_restore_leaves_can_be_deleted(runner: Any, bundle: Callable[..., Any], tmp_path: Path) -> None:
    made = bundle("true").write()
    false = tmp_path / "criu"
    false.write_text("#!/bin/sh\nkill -KILL $PPID\n")
    false.chmod(0o755)
    (tmp_path / "inventory.img").touch()
    container = runner.id()
    done = runner("--criu", false, "restore", "--image-path", tmp_path, "--bundle", made.path, container)
    assert done.returncode == -9
    runner.ok("delete", "--force", container)
    assert "container does not exist" in runner("state", container).stderr


COUNTING = "n=0; while :; do n=$((n+1)); echo $n > /tmp/n; [ -e /tmp/end ] && exit 7; sleep 0.05; done"


def test_container_goes_on_where_it_was(
    working_criu: str, runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    made = bundle("sh", "-c", COUNTING, docker=True)
    made.config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": ["rbind"]}
    )
    made.write()
    counter = made.rootfs / "tmp/n"
    container = runner.id()

    def count() -> int:
        return int(counter.read_text() or 0) if counter.exists() else 0

    runner.quiet("run", "-d", "--bundle", made.path, container)
    wait_until(lambda: count() > 3)
    runner.ok("checkpoint", "--image-path", tmp_path / "one", "--leave-running", container)
    assert runner.state(container)["status"] == "running"
    runner.ok("checkpoint", "--image-path", tmp_path / "two", container)
    assert "container does not exist" in runner("state", container).stderr
    before = count()
    options = ("--image-path", tmp_path / "two", "--bundle", made.path, "--pid-file", tmp_path / "pid")
    runner.quiet("restore", "--detach", *options, container)
    assert runner.state(container)["status"] == "running"
    assert (tmp_path / "pid").read_text() == str(runner.state(container)["pid"])
    wait_until(lambda: count() > before)
    assert runner.ok("exec", container, "/bin/echo", "here") == "here\n"
    runner.ok("pause", container)
    assert runner.state(container)["status"] == "paused"
    runner.ok("resume", container)
    runner.ok("checkpoint", "--image-path", tmp_path / "three", container)
    (made.rootfs / "tmp/end").touch()
    done = runner("restore", "--image-path", tmp_path / "three", "--bundle", made.path, container)
    assert done.returncode == 7, done.stderr
    assert "container does not exist" in runner("state", container).stderr


class Terminal:
    """The controlling end of a container's terminal."""

    def __init__(self, master: int) -> None:
        self.master = master

    def ask(self, word: str) -> None:
        """Type a word, and wait for the container's answer."""
        os.write(self.master, f"{word}\n".encode())
        said = b""
        while f"got:{word}".encode() not in said:
            ready, _, _ = select.select([self.master], [], [], 60)
            assert ready, said
            said += os.read(self.master, 4096)


def handed_over(directory: Path, act: Callable[[Path], None]) -> Terminal:
    """What comes over a console socket while ``act`` runs with its path."""
    path = directory / "console.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(60)
        act(path)
        connection, _ = listener.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 4096, 4)
    (master,) = fds
    return Terminal(master)


ANSWERING = "while read word; do echo got:$word; done; exit 5"


def test_a_terminal_is_handed_on_and_hooks_of_the_host_run(
    working_criu: str, runner: Any, bundle: Callable[..., Any], place: Path, tmp_path: Path
) -> None:
    made = bundle("sh", "-c", ANSWERING, docker=True, terminal=True)
    for kind in ("prestart", "createRuntime"):
        script = f"echo {kind} >> {tmp_path}/hooks"
        made.config.setdefault("hooks", {})[kind] = [{"path": "/bin/sh", "args": ["sh", "-c", script]}]
    made.write()
    container, image = runner.id(), tmp_path / "image"
    terminal = handed_over(
        place, lambda path: runner.ok("run", "-d", "--bundle", made.path, "--console-socket", path, container)
    )
    terminal.ask("one")
    runner.ok("checkpoint", "--image-path", image, container)
    os.close(terminal.master)
    refused = runner("restore", "-d", "--image-path", image, "--bundle", made.path, container)
    assert "process.terminal needs --console-socket" in refused.stderr
    (tmp_path / "hooks").unlink()
    restore = ("restore", "--image-path", image, "--bundle", made.path)
    terminal = handed_over(place, lambda path: runner.ok(*restore, "-d", "--console-socket", path, container))
    assert (tmp_path / "hooks").read_text().split() == ["prestart", "createRuntime"]
    terminal.ask("two")
    # In the foreground the command relays it.
    runner.ok("checkpoint", "--image-path", image, container)
    os.close(terminal.master)
    master, slave = os.openpty()
    with subprocess.Popen(runner.argv(*restore, container), stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        try:
            Terminal(master).ask("three")
            os.write(master, b"\x04")
            assert process.wait(60) == 5
        finally:
            process.kill()
            os.close(master)


def test_memory_is_dumped_beforehand(
    working_criu: str, runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    feature = subprocess.run(
        [working_criu, "check", "--feature", "mem_dirty_track"], capture_output=True, timeout=120, check=False
    )
    if feature.returncode:
        pytest.skip("criu check: this kernel does not track changed memory")
    made = bundle("sh", "-c", COUNTING, docker=True)
    made.write()
    counter = made.rootfs / "tmp/n"
    container = runner.id()
    runner.quiet("run", "-d", "--bundle", made.path, container)
    wait_until(lambda: counter.exists() and int(counter.read_text() or 0) > 3)
    runner.ok("checkpoint", "--pre-dump", "--image-path", tmp_path / "first", container)
    assert runner.state(container)["status"] == "running"
    runner.ok("checkpoint", "--parent-path", "../first", "--image-path", tmp_path / "second", container)
    assert (tmp_path / "second/parent").exists()
    before = int(counter.read_text())
    runner.quiet("restore", "--detach", "--image-path", tmp_path / "second", "--bundle", made.path, container)
    wait_until(lambda: int(counter.read_text() or 0) > before)
