"""checkpoint and restore: what criu is asked for, what is refused, and the real thing where criu works."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from railcar import criu
from railcar.errors import RailcarError

CONFIG: dict[str, Any] = {
    "annotations": {"org.criu.config": "/etc/criu/own.conf"},
    "linux": {"namespaces": [{"type": "network", "path": "/run/netns/a"}, {"type": "mount"}]},
}


def request(**changes: Any) -> criu.Request:
    made = criu.Request("/image", "/work")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def dumped(config: dict[str, Any], wanted: criu.Request) -> str:
    argv = criu.dump(
        "/usr/sbin/criu",
        config,
        wanted,
        pid=42,
        rootfs="/b/rootfs",
        freezer="/sys/fs/cgroup/freezer/a",
        external=["/data"],
        streams=["pipe:[7]", "file[1a:5] /dev/null", "file[1a:5] /dev/null"],
        inode=lambda path: 99,
    )
    return " ".join(argv)


def test_plan_of_a_dump() -> None:
    wanted = request(flags=["tcp-established", "file-locks"], cgroups_mode="ignore", leave_running=True)
    assert dumped(CONFIG, wanted) == (
        "/usr/sbin/criu dump --images-dir /image --work-dir /work --log-file dump.log -v4 --config /etc/criu/own.conf "
        "--tcp-established --file-locks --manage-cgroups=ignore --tree 42 --root /b/rootfs "
        "--freeze-cgroup /sys/fs/cgroup/freezer/a --leave-running --external net[99]:extRootNetNS "
        "--external file[1a:5] --external mnt[/data]:/data"
    )


def test_plan_of_a_pre_dump_and_of_the_dump_after_it() -> None:
    first = dumped({}, request(pre_dump=True))
    assert " pre-dump " in first
    assert "--track-mem" in first
    assert "mnt[" not in first
    second = dumped({}, request(parent="../first", empty_network=True))
    assert "--track-mem --prev-images-dir ../first" in second
    assert "--empty-ns net" in second


def test_plan_of_a_restore() -> None:
    argv = criu.restore(
        "criu",
        CONFIG,
        request(values=[("lsm-profile", "apparmor:own")]),
        root="/run/a/criu-root",
        pid_file="/run/a/criu.pid",
        external=[("/data", "/srv/data"), ("/proc/kcore", "/dev/null")],
        inherited={"pipe:[7]": 0, "file[1a:5] /dev/null": 9},
        groups="4:memory:/x\n0::/x\n",
        opened=lambda path: 11,
    )
    assert " ".join(argv) == (
        "criu restore --images-dir /image --work-dir /work --log-file restore.log -v4 --config /etc/criu/own.conf "
        "--lsm-profile apparmor:own --manage-cgroups=soft --root /run/a/criu-root --evasive-devices --restore-detached "
        "--restore-sibling --pidfile /run/a/criu.pid --external mnt[/data]:/srv/data "
        "--external mnt[/proc/kcore]:/dev/null --inherit-fd fd[0]:pipe:[7] --inherit-fd fd[9]:file[1a:5] "
        "--inherit-fd fd[11]:extRootNetNS --cgroup-root memory:/x --cgroup-root /x"
    )


def test_namespace_that_criu_cannot_enter_is_refused() -> None:
    config = {"linux": {"namespaces": [{"type": "cgroup", "path": "/x"}]}}
    with pytest.raises(RailcarError, match="cgroup namespace"):
        criu.restore(
            "criu",
            config,
            request(),
            root="/r",
            pid_file="/p",
            external=[],
            inherited={},
            groups="",
            opened=lambda path: 1,
        )


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
    assert criu.binds(listed, "/b", lambda mount: groups) == [
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
    assert criu.masked(["/proc/kcore", "/proc/acpi", "/proc/keys"], mountinfo) == ["/proc/kcore"]
    assert criu.stream("pipe:[5]", "mnt_id:\t15\n", 5, mountinfo) == "pipe:[5]"
    assert criu.stream("/log", "pos:\t0\nmnt_id:\t33\n", 5, mountinfo) == "/log"
    assert criu.stream("/dev/null", "mnt_id:\t26\n", 10, mountinfo) == "file[1a:a] /dev/null"
    assert [criu.handed_on(text) for text in ("pipe:[5]", "/log", "file[1a:a] /dev/null")] == [True, False, True]
    assert criu.complaint("(0.1) all well\n(0.2) Error (a.c:1): no\n") == "(0.2) Error (a.c:1): no"


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


@pytest.fixture
def working_criu() -> str:
    path = shutil.which("criu")
    if not path:
        pytest.skip("criu is not installed")
    if os.geteuid() != 0:
        pytest.skip("criu needs root")
    checked = subprocess.run([path, "check"], capture_output=True, text=True, timeout=120, check=False)
    if checked.returncode != 0:
        pytest.skip(f"criu check: {checked.stderr.strip() or checked.stdout.strip()}")
    return path


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

    def quiet(*arguments: Any) -> None:
        """Streams that a restore can hand on: the files of a test's own have no name."""
        null = subprocess.DEVNULL
        subprocess.run(runner.argv(*arguments), stdin=null, stdout=null, stderr=null, timeout=120, check=True)

    quiet("run", "-d", "--bundle", made.path, container)
    wait_until(lambda: count() > 3)
    runner.ok("checkpoint", "--image-path", tmp_path / "one", "--leave-running", container)
    assert runner.state(container)["status"] == "running"
    runner.ok("checkpoint", "--image-path", tmp_path / "two", container)
    assert "container does not exist" in runner("state", container).stderr
    before = count()
    options = ("--image-path", tmp_path / "two", "--bundle", made.path, "--pid-file", tmp_path / "pid")
    quiet("restore", "--detach", *options, container)
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
