"""Every newer call has an older way behind it, which works alike, and of which -v tells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest
from crashcart import kernel

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]
MARKER = "cat /dev/crashcart/etc/marker"
ALL = ",".join(kernel.FEATURES)


def may_trace(config: dict[str, Any]) -> None:
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] += ["CAP_SYS_PTRACE"]


def read_only_dev(config: dict[str, Any]) -> None:
    next(mount for mount in config["mounts"] if mount["destination"] == "/dev")["options"].append("ro")


@pytest.mark.parametrize("without", ["pidfd", "close-range", "erofs-file", "mount-fd", ALL])
def test_session_by_the_older_way(without: str, containers: Containers, enter: Enter, traces: support.Traces) -> None:
    script = f"(sleep 100000 &); {MARKER}; ls /dev/null"
    done = enter(containers(), "sh", "-c", script, without=without, options=("-v",))
    assert (done.returncode, done.stdout) == (0, "tools\n/dev/null\n"), done.stderr
    for feature in without.split(","):
        if feature in ("pidfd", "close-range", "erofs-file", "mount-fd"):
            assert f"Linux {kernel.FEATURES[feature]}" in done.stderr
    traces.check()


@pytest.mark.parametrize("without", ["proc-pidns", "clone3", "memfd", ALL])
def test_session_among_tracers_by_the_older_way(
    without: str, containers: Containers, enter: Enter, traces: support.Traces
) -> None:
    if without == ALL:
        without = without.replace(",memfd", "")  # no program in memory, and no mounts by descriptor: see below
    script = f"(sleep 100000 &); {MARKER}; exit 3"
    done = enter(containers(may_trace), "sh", "-c", script, without=without, options=("-v",))
    assert (done.returncode, done.stdout) == (3, "tools\n"), done.stderr
    told = {"proc-pidns": "Linux 6.17", "clone3": "Linux 5.3", "memfd": "memfd_noexec"}
    assert told.get(without, "Linux 6.17") in done.stderr
    traces.check()


def test_program_outside_memory_cannot_be_written_to(containers: Containers, enter: Enter) -> None:
    """Where no program in memory may be executed, it is a file of a filesystem that is mounted nowhere."""
    container = containers(may_trace)
    done = enter(container, "sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done; true", without="memfd")
    assert "/program" in done.stdout.split(), done.stderr
    script = """
import os
from ocicommon.linux import detached, mounts
program = detached.file_on_tmpfs(b"program")
path = f"/proc/self/fd/{program}"
for attempt in (
    lambda: os.open(path, os.O_WRONLY),
    lambda: os.open(path, os.O_WRONLY | os.O_TRUNC),
    lambda: os.truncate(path, 0),
    lambda: mounts.mount_setattr(program, "", clear=mounts.MOUNT_ATTR_RDONLY),
):
    try:
        attempt()
    except OSError as error:
        print(error.errno)
"""
    tried = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert tried.stdout.split() == ["30", "30", "30", "22"], tried.stderr


@pytest.mark.parametrize("mode", ["private", "shared"])
def test_directory_is_read_only_by_the_older_way(mode: str, containers: Containers, enter: Enter, tools: Path) -> None:
    container = containers()
    common: dict[str, Any] = {"tools": ("--dir", str(tools)), "without": "mount-setattr"}
    script = f"{MARKER}; echo x > /dev/crashcart/new"
    if mode == "private":
        done = enter(container, "sh", "-c", script, options=("-v",), **common)
        said = done.stderr
    else:
        said = enter(container, options=("-m", "-v"), **common).stderr
        done = container.execute("/bin/sh", "-c", script)
        assert enter(container, options=("-u",)).returncode == 0
    assert done.stdout == "tools\n", done.stderr
    assert "Read-only file system" in done.stderr
    assert "Linux 5.12" in said
    assert not (tools / "new").exists()


def test_directory_without_detached_mounts_is_refused(containers: Containers, enter: Enter, tools: Path) -> None:
    done = enter(containers(), "true", tools=("--dir", str(tools)), without="mount-fd")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--dir needs Linux 5.2" in done.stderr


@pytest.mark.parametrize("without", ["mount-setattr", "mount-fd"])
def test_shared_mount_in_a_read_only_dev_is_refused(without: str, containers: Containers, enter: Enter) -> None:
    done = enter(containers(read_only_dev), options=("-m",), without=without)
    assert done.returncode == 1
    assert "is read-only, and this kernel" in done.stderr
    assert "run without -m" in done.stderr


def test_image_in_a_user_namespace_by_the_older_way(processes: Callable[..., int], enter: Enter) -> None:
    pid = processes(["sh", "-c", "echo up; exec sleep 100000"], "-U", "--map-root-user")
    done = enter(pid, "sh", "-c", f"{MARKER}; id -u", without="mount-setattr", options=("-v",))
    assert (done.returncode, done.stdout) == (0, "tools\n0\n"), done.stderr
    assert "Linux 5.12" in done.stderr
