"""A session enters every kind of container, does what was asked, and the container is as before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]

MARKER = "cat /dev/crashcart/etc/marker"


def read_only_root(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = True


def read_only_dev(config: dict[str, Any]) -> None:
    for mount in config["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"].append("ro")


def both_read_only(config: dict[str, Any]) -> None:
    read_only_root(config)
    read_only_dev(config)


def user_1000(config: dict[str, Any]) -> None:
    config["process"]["user"] = {"uid": 1000, "gid": 1000}


def locked_down(config: dict[str, Any]) -> None:
    config["process"]["capabilities"] = {}
    config["process"]["noNewPrivileges"] = True
    names = ["ptrace", "mount", "setns", "unshare", "open_tree", "move_mount"]
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"] if os.uname().machine == "x86_64" else ["SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}],
    }


def host_network(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "network"]


def many_mounts(config: dict[str, Any]) -> None:
    config["mounts"] += [
        {"destination": f"/tmp/m{number}", "type": "bind", "source": "/proc/sys/kernel/ostype", "options": ["bind"]}
        for number in range(300)
    ]


def no_terminals(config: dict[str, Any]) -> None:
    config["mounts"] = [one for one in config["mounts"] if one["destination"] not in ("/dev/pts", "/dev/shm")]


KINDS = [
    read_only_root,
    read_only_dev,
    both_read_only,
    user_1000,
    locked_down,
    host_network,
    many_mounts,
    no_terminals,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_session_enters_kind_of_container(kind: Callable[..., None], containers: Containers, enter: Enter) -> None:
    done = enter(containers(kind), "sh", "-c", f"{MARKER}; echo pid=$$; exit 7")
    assert done.stderr == ""
    assert done.returncode == 7
    assert done.stdout.startswith("tools\npid=")


def test_container_without_any_file_is_entered(containers: Containers, enter: Enter) -> None:
    """The program deletes what it was started from: nothing at all is left in the root."""

    def settle(container: support.Container) -> None:
        for name in os.listdir(container.rootfs / "bin"):
            (container.rootfs / "bin" / name).unlink()

    done = enter(containers(settle=settle), "ls", "/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may search, which those of pytest are not."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_container_with_a_user_namespace_is_entered_as_its_root(
    open_directory: Path, containers: Containers, enter: Enter
) -> None:
    def mapped(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 300000, "size": 65536}]
        config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = mapping

    def prepare(rootfs: Path) -> None:
        for path in (rootfs, *rootfs.rglob("*")):
            os.chown(path, 300000, 300000, follow_symlinks=False)

    done = enter(
        containers(mapped, prepare=prepare, base=open_directory), "sh", "-c", f"{MARKER}; id -u; cat /proc/self/uid_map"
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words == ["tools", "0", "0", "300000", "65536"]


def test_pids_limit_that_is_reached_does_not_keep_us_out(containers: Containers, enter: Enter) -> None:
    if not os.path.exists("/sys/fs/cgroup/pids") and not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("needs the pids controller")

    def limited(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {"pids": {"limit": 1}}

    done = enter(containers(limited), "echo", "in")
    assert (done.returncode, done.stdout) == (0, "in\n")


def test_paused_container_is_said_to_be_paused_and_resumed_on_demand(
    containers: Containers, enter: Enter, crashcart: Path
) -> None:
    container = containers()
    pause = ["runc", "--root", str(container.state), "pause", container.id]
    if subprocess.run(pause, capture_output=True, check=False).returncode:
        pytest.skip("needs a freezer that runc can use")
    try:
        words = [str(crashcart), "list", "--json", "--root", str(container.state)]
        listed = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert [one["status"] for one in listed if one["pid"] == container.pid] == ["paused"]
        done = enter(container, "echo", "in")
        assert (done.returncode, done.stdout) == (0, "in\n")
        assert "is paused: its processes stand still; --resume" in done.stderr
        done = enter(container, "echo", "in", options=("--resume",))
        assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")
    finally:
        subprocess.run([*pause[:3], "resume", container.id], capture_output=True, check=False)


def test_process_in_a_chroot_shows_its_own_root(
    tmp_path: Path, tools: Path, traces: support.Traces, enter: Enter
) -> None:
    root = support.busybox_tree(tmp_path / "root")
    (root / "dev").mkdir()
    (root / "only-here").touch()
    words = ["unshare", "-m", "chroot", str(root), "/bin/sh", "-c", "echo up; exec sleep 100000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            traces.watch(process.pid)
            done = enter(process.pid, "ls", "/")
            assert done.returncode == 0, done.stderr
            assert "only-here" in done.stdout.split()
            traces.check()
        finally:
            process.kill()


def test_process_of_the_host_is_entered_by_its_pid(traces: support.Traces, enter: Enter) -> None:
    with subprocess.Popen(["sleep", "100000"]) as process:
        try:
            traces.watch(process.pid)
            done = enter(process.pid, "sh", "-c", f"{MARKER}; ls -d /dev/null")
            assert (done.returncode, done.stdout) == (0, "tools\n/dev/null\n"), done.stderr
            assert not os.path.exists("/dev/crashcart")
            traces.check()
        finally:
            process.kill()


def test_command_fails_clearly_when_it_is_not_there(containers: Containers, enter: Enter) -> None:
    container = containers()
    done = enter(container, "no-such-tool")
    assert done.returncode == 127
    assert "the image has no 'no-such-tool'" in done.stderr
    done = enter(container, "/no/such/path")
    assert done.returncode == 127
    assert "cannot execute /no/such/path: no such file or directory (ENOENT)" in done.stderr
    done = enter(container, "/dev/crashcart/etc/marker")
    assert done.returncode == 126
    assert "permission denied (EACCES)" in done.stderr


def test_environment_is_the_containers_without_what_steers_tools(containers: Containers, enter: Enter) -> None:
    done = enter(containers(), "env")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["MINE"] == "container"
    assert "LD_PRELOAD" not in found
    assert found["PATH"].startswith("/dev/crashcart/bin:")
    assert found["HOME"] == "/dev/crashcart"
    assert not any(name.startswith("CRASHCART_") for name in found)


def test_strict_profile_has_exactly_the_privileges_of_the_container(containers: Containers, enter: Enter) -> None:
    container = containers(locked_down)
    command = ("grep", "-E", "^(Uid|Cap|NoNewPrivs|Seccomp:)", "/proc/self/status")
    strict = enter(container, *command, options=("--profile", "strict"))
    assert strict.returncode == 0, strict.stderr
    own = container.execute("/bin/grep", *command[1:])
    assert strict.stdout == own.stdout


def test_debug_profile_adds_what_debugging_takes_under_a_filter(containers: Containers, enter: Enter) -> None:
    container = containers(locked_down)
    text = enter(container, "cat", "/proc/self/status").stdout
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    bits = {1, 12, 13, 18, 19}  # DAC_OVERRIDE, NET_ADMIN, NET_RAW, SYS_CHROOT, SYS_PTRACE
    assert int(status["CapEff"], 16) == sum(1 << bit for bit in bits)
    assert status["Seccomp"] == "2"


def test_privileged_profile_has_every_capability_and_no_filter(containers: Containers, enter: Enter) -> None:
    text = enter(containers(), "cat", "/proc/self/status", options=("--profile", "privileged")).stdout
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    mine = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    assert status["CapBnd"] == mine["CapBnd"]
    assert status["Seccomp"] == mine["Seccomp"]


def test_user_option_runs_as_that_user(containers: Containers, enter: Enter) -> None:
    done = enter(containers(), "sh", "-c", "id -u; id -g; grep CapEff /proc/self/status", options=("-U", "1234:99"))
    assert done.stdout.split() == ["1234", "99", "CapEff:", "0000000000000000"]


def test_session_is_outside_the_containers_cgroup_unless_asked(containers: Containers, enter: Enter) -> None:
    container = containers()
    own = Path(f"/proc/{container.pid}/cgroup").read_text()
    inside = enter(container, "cat", "/proc/self/cgroup", options=("--cgroup",))
    assert inside.returncode == 0, inside.stderr
    outside = enter(container, "cat", "/proc/self/cgroup")
    assert inside.stdout == own
    assert outside.stdout != own


def test_only_the_network_is_entered_on_demand(containers: Containers, enter: Enter) -> None:
    container = containers()
    links = [f"/proc/self/ns/{kind}" for kind in ("net", "pid", "uts")]
    done = enter(container, "sh", "-c", f"for i in {' '.join(links)}; do readlink $i; done", options=("--net-only",))
    assert done.returncode == 0, done.stderr
    net, pid, uts = done.stdout.split()
    assert net == os.readlink(f"/proc/{container.pid}/ns/net")
    assert pid == os.readlink("/proc/self/ns/pid")
    assert uts == os.readlink("/proc/self/ns/uts")


@pytest.mark.parametrize("kind", ["erofs", "squashfs", "ext4"])
def test_every_format_of_image_is_mounted(
    kind: str, containers: Containers, enter: Enter, images: Callable[[str], Path]
) -> None:
    done = enter(containers(), "sh", "-c", MARKER, tools=("-i", str(images(kind))))
    assert (done.returncode, done.stdout, done.stderr) == (0, "tools\n", "")


def test_directory_is_side_loaded_read_only(containers: Containers, enter: Enter, tools: Path) -> None:
    done = enter(containers(), "sh", "-c", f"{MARKER}; echo x > /dev/crashcart/new", tools=("--dir", str(tools)))
    assert done.stdout == "tools\n"
    assert "Read-only file system" in done.stderr
    assert not (tools / "new").exists()


def test_missing_image_or_container_is_one_sentence(containers: Containers, enter: Enter, tmp_path: Path) -> None:
    container = containers()
    done = enter(container, "true", tools=("-i", str(tmp_path / "none.img")))
    assert done.returncode == 1
    assert done.stderr.startswith("crashcart: no image ")
    (tmp_path / "text.img").write_text("no image")
    done = enter(container, "true", tools=("-i", str(tmp_path / "text.img")))
    assert done.returncode == 1
    assert "is no image" in done.stderr
    done = enter("no-such-container", "true")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no running container 'no-such-container'" in done.stderr


def test_state_directory_record_of_another_process_is_not_entered(containers: Containers, enter: Enter) -> None:
    container = containers()
    path = container.state / container.id / "state.json"
    record = json.loads(path.read_text())
    kept = dict(record)
    record["init_process_start"] += 1
    path.write_text(json.dumps(record))
    try:
        done = enter(container, "true")
        assert done.returncode == 1
        assert "no running container" in done.stderr
    finally:
        path.write_text(json.dumps(kept))


def test_container_of_railcar_is_entered_and_given_tools(containers: Containers, enter: Enter, railcar: Path) -> None:
    container = containers(runtime=str(railcar))
    done = enter(container, "sh", "-c", f"{MARKER}; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "tools\n", "")
    assert enter(container, options=("-m",)).returncode == 0
    assert container.execute("/dev/crashcart/bin/cat", "/dev/crashcart/etc/marker").stdout == "tools\n"
    assert enter(container, options=("-u",)).returncode == 0


def test_user_without_root_side_loads_a_directory_into_a_container_of_theirs(
    crashcart: Path, open_directory: Path
) -> None:
    tree = support.busybox_tree(open_directory / "tools")
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*user, crashcart, "-V"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs setpriv, and an installation that other users can reach")
    inner = ["unshare", "-Urmpf", "--mount-proc", "sh", "-c", "echo up; exec sleep 100000"]
    with subprocess.Popen([*user, *inner], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        pid = 0
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"up\n":
                pytest.skip("users may not make user namespaces here")
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            before = support.mountinfo(pid), support.members(pid)
            words = [
                *user,
                str(crashcart),
                "--dir",
                str(tree),
                str(pid),
                "sh",
                "-c",
                "id -u; exit 5",
            ]
            done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd="/")
            assert (done.returncode, done.stdout, done.stderr) == (5, "0\n", "")
            support.until(lambda: support.members(pid) <= before[1], "processes of the session are left")
            assert support.mountinfo(pid) == before[0]
        finally:
            if pid:
                os.kill(pid, 9)
            process.kill()
