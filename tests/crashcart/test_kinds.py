"""Containers in odd states are entered like any other, or refused in one sentence; none is changed by it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest
from crashcart import architecture
from crashcart_support import engines
from crashcart_support.engines import need, run

Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]
MARKER = "cat /dev/crashcart/etc/marker"
root = pytest.mark.root

MOUNTS = """
import os, sys
from ocicommon.linux import mounts, namespaces
pid = sys.argv[1]
namespaces.setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), namespaces.CLONE_NEWNS)
mounts.mount("many", "/tmp", "tmpfs", 0, "size=4m")
mounts.mount("many", "/dev/shm", "tmpfs", 0, "size=4m")
for place, count in (("/tmp", 800), ("/dev/shm", 200)):
    for number in range(count):
        os.mkdir(f"{place}/{number}")
        mounts.mount("one", f"{place}/{number}", "tmpfs", 0, "size=4k")
"""


@root
def test_thousand_mounts(containers: Containers, enter: Enter) -> None:
    def settle(container: support.Container) -> None:
        subprocess.run([sys.executable, "-c", MOUNTS, str(container.pid)], check=True)

    container = containers(settle=settle)
    assert len(support.mountinfo(container.pid)) > 1000
    done = enter(container, "sh", "-c", f"{MARKER}; grep -c ' one ' /proc/self/mountinfo; ls /dev/shm/7; exit 7")
    marker, count = done.stdout.splitlines()
    assert (done.returncode, marker, done.stderr) == (7, "tools", "")
    assert int(count) >= 1000
    assert enter(container, options=("-m",)).returncode == 0
    assert enter(container, options=("-u",)).returncode == 0


@root
def test_container_inside_a_container(
    containers: Containers, enter: Enter, tmp_path: Path, traces: support.Traces
) -> None:
    """By its number on the host; what its runtime recorded inside the outer container means nothing out here."""
    need("runc")
    inner = tmp_path / "inner"
    support.busybox_tree(inner / "rootfs")
    for name in ("proc", "dev", "tmp"):
        (inner / "rootfs" / name).mkdir()
    (inner / "rootfs/only-here").touch()
    config = support.default_config(["/bin/sh", "-c", "echo up; exec sleep 100000"], inner / "rootfs")
    config["linux"]["cgroupsPath"] = f"/crashcart-test-{os.getpid()}-inner"
    support.write_config(config, inner)
    id = f"inner{os.getpid()}"
    state = tmp_path / "inner-state"
    runc = ["runc", "--root", str(state), "run", "--bundle", str(inner), id]
    outer = subprocess.Popen(["unshare", "-mpf", "--mount-proc", *runc], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        assert outer.stdout is not None
        if outer.stdout.readline() != b"up\n":
            pytest.skip("runc cannot run inside another pid namespace here")
        (runtime,) = support.children(outer.pid)

        (pid,) = [pid for pid in support.children(runtime) if Path(f"/proc/{pid}/root/only-here").exists()]
        traces.watch(pid)
        done = enter(pid, "sh", "-c", f"{MARKER}; ls /only-here; exit 3")
        assert (done.returncode, done.stdout, done.stderr) == (3, "tools\n/only-here\n", "")
        done = enter(id, "true", options=("--root", str(state)))
        assert done.returncode == 1
        assert f"no running container '{id}'" in done.stderr
        traces.check()
    finally:
        for child in support.children(outer.pid):
            os.kill(child, 9)
        outer.wait()
        outer.stdout.close()
        outer.stdin.close()
        for directory in Path("/sys/fs/cgroup").glob(f"*/crashcart-test-{os.getpid()}-inner"):
            support.until(lambda directory=directory: _removed(directory), "the inner container's cgroup is in use")


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@root
def test_container_near_its_memory_limit(containers: Containers, enter: Enter, traces: support.Traces) -> None:
    """The session is not charged to it; with --cgroup it may be, and then nothing of it is left either."""
    limit = 24 << 20

    def limited(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {"memory": {"limit": limit}}
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=22m"]})

    def settle(container: support.Container) -> None:
        done = container.execute("/bin/sh", "-c", "head -c 21m /dev/zero > /tmp/full && echo full")
        if done.stdout != "full\n":
            pytest.skip(f"this container cannot be filled here: {done.stderr}")

    container = containers(limited, settle=settle)
    usage = _memory(container.pid)
    if usage is None:
        pytest.skip("needs the memory controller")
    assert usage > limit * 0.8
    done = enter(container, "sh", "-c", f"{MARKER}; head -c 8m /dev/zero | tail -c 8m | wc -c")
    assert (done.returncode, done.stdout) == (0, f"tools\n{8 << 20}\n"), done.stderr
    assert support.alive(container.pid)
    enter(container, "sh", "-c", "x=$(head -c 8m /dev/zero | tr '\\0' x); echo ${#x}", options=("--cgroup",))
    traces.check()


def _memory(pid: int) -> int | None:
    """What the memory cgroup of a process is charged with."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for place in (f"/sys/fs/cgroup/memory{path}/memory.usage_in_bytes", f"/sys/fs/cgroup{path}/memory.current"):
            if controllers in ("memory", "") and os.path.exists(place):
                return int(Path(place).read_text())
    return None


@root
def test_scratch_image_of_docker(
    tmp_path: Path, tools: Path, crashcart: Path, image: Path, traces: support.Traces
) -> None:
    """One static program, and no other file: no shell, no /etc, no /tmp."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    shutil.copy("/bin/busybox", scratch / "sleep")
    with engines.docker(tmp_path, tools) as client:
        tar = subprocess.run(["tar", "-C", str(scratch), "-c", "sleep"], capture_output=True, check=True).stdout
        subprocess.run([*client, "import", "-", "scratch"], input=tar, capture_output=True, check=True)
        locked = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "1000:1000"]
        start = ["run", "-d", "--name", "scratch", "--network", "none", *locked, "scratch", "/sleep", "100000"]
        done = run([*client, *start])
        try:
            if done.returncode:
                pytest.skip(f"docker cannot run a container here: {done.stderr}")
            traces.watch(int(run([*client, "inspect", "-f", "{{.State.Pid}}", "scratch"]).stdout))
            words = [crashcart, "-i", image, "scratch", "sh", "-c", f"{MARKER}; ls /sleep; exit 9"]
            done = run(words, {"DOCKER_HOST": client[2]})
            assert (done.returncode, done.stdout, done.stderr) == (9, "tools\n/sleep\n", "")
            traces.check()
        finally:
            run([*client, "rm", "-f", "scratch"])


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Tools for another processor: a program's head is all that the kernel looks at."""
    tree = tmp_path / "foreign"
    (tree / "bin").mkdir(parents=True)
    with open("/bin/busybox", "rb") as file:
        program = bytearray(file.read())
    machine = 183 if program[18] == 62 else 62
    program[18:20] = machine.to_bytes(2, "little")
    (tree / "bin/busybox").write_bytes(program)
    (tree / "bin/busybox").chmod(0o755)
    (tree / "bin/sh").symlink_to("busybox")
    return tree


@root
def test_tools_for_another_processor_are_one_sentence(
    containers: Containers, enter: Enter, foreign: Path, tmp_path: Path
) -> None:
    if any(Path("/proc/sys/fs/binfmt_misc").glob("qemu-*")):
        pytest.skip("this machine runs programs of other processors")
    container = containers(prepare=lambda rootfs: shutil.copytree(foreign, rootfs / "foreign", symlinks=True))
    other = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
    done = enter(container, "sh", tools=("--dir", str(foreign)))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (126, "", 1)
    assert f"it is for {other}, and this machine is {os.uname().machine}; `crashcart build`" in done.stderr
    done = enter(container, "/foreign/bin/sh")
    assert done.returncode == 126
    assert done.stderr.endswith(f"it is for {other}, and this machine is {os.uname().machine}\n")


@root
def test_emulated_container_is_entered_and_said_to_be_one(containers: Containers, enter: Enter) -> None:
    """Its programs are for another processor, the tools for this one."""
    emulator = next((path for name in ("qemu-aarch64-static", "qemu-x86_64-static") if (path := shutil.which(name))
                     and os.uname().machine not in name), None)  # fmt: skip
    if emulator is None:
        pytest.skip("needs qemu-user-static")

    def prepare(rootfs: Path) -> None:
        shutil.copy(emulator, rootfs / "bin")
        (rootfs / "bin" / Path(emulator).name).rename(rootfs / "bin/qemu-other-static")
        # What the emulator does does not matter here: it waits to be traced, and so stays.
        (rootfs / "program").write_bytes(_endless(183 if "aarch64" in emulator else 62))
        (rootfs / "program").chmod(0o755)

    container = containers(prepare=prepare, arguments=("/bin/qemu-other-static", "/program"))
    done = enter(container, "sh", "-c", MARKER)
    assert (done.returncode, done.stdout) == (0, "tools\n")
    mine = os.uname().machine
    assert done.stderr == f"crashcart: {_shown(container)} is for other, emulated by qemu; the tools are for {mine}\n"


def _shown(container: support.Container) -> str:
    return f"runc {container.id}, pid {container.pid}"


def _endless(machine: int) -> bytes:
    """A static program that sleeps for ever (pause, or ppoll of nothing)."""
    code = {
        # mov x0-x4, 0; mov x8, 73 (ppoll); svc 0; b to the start
        183: b"".join(
            word.to_bytes(4, "little")
            for word in (0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD2800928, 0xD4000001, 0x17FFFFF9)
        ),
        62: b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7",  # mov eax, 34 (pause); syscall; jmp to the start
    }[machine]
    base, start = 0x400000, 120
    size = start + len(code)
    sizes = (64, 56, 1, 0, 0, 0)
    head = struct.pack("<16sHHIQQQI6H", b"\x7fELF\x02\x01\x01", 2, machine, 1, base + start, 64, 0, 0, *sizes)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return head + segment + code


def test_processor_is_told_by_the_first_bytes() -> None:
    assert architecture.machine_of(b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0") == "aarch64"
    assert architecture.machine_of(b"\x7fELF\x02\x02" + bytes(12) + b"\0\x16") == "s390x"
    assert architecture.machine_of(b"\x7fELF\x02\x01" + bytes(12) + b"\xff\xff") == "machine 65535"
    assert architecture.machine_of(b"#!/bin/sh\n" + bytes(20)) == ""
    assert architecture.machine_of(b"\x7fELF") == ""
