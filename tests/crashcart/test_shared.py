"""``-m`` gives the tools to the container's own processes, ``-u`` takes them away, and nothing else changes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]


def read_only(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = True
    for mount in config["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"].append("ro")


def quiet(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("change", [None, read_only])
def test_tools_are_there_for_the_container_between_mount_and_unmount(
    change: Callable[[dict[str, Any]], None] | None, containers: Containers, enter: Enter
) -> None:
    container = containers(change)
    before = support.mountinfo(container.pid)
    quiet(enter(container, options=("-m",)))
    assert [line for line in support.mountinfo(container.pid) if "/dev/crashcart" not in line] == before
    done = container.execute("/dev/crashcart/bin/cat", "/dev/crashcart/etc/marker")
    assert done.stdout == "tools\n"
    quiet(enter(container, options=("-u",)))
    assert support.mountinfo(container.pid) == before


def test_second_mount_is_refused_and_the_first_stays(containers: Containers, enter: Enter) -> None:
    container = containers()
    quiet(enter(container, options=("-m",)))
    done = enter(container, options=("-m",))
    assert done.returncode == 1
    assert "/dev/crashcart is mounted already" in done.stderr
    assert container.execute("/dev/crashcart/bin/true").returncode == 0
    quiet(enter(container, options=("-u",)))


def test_unmounting_what_is_not_mounted_says_so(containers: Containers, enter: Enter) -> None:
    done = enter(containers(), options=("-u",))
    assert done.returncode == 1
    assert "nothing is mounted at /dev/crashcart" in done.stderr


def test_unmount_is_refused_while_a_tool_runs_and_forced_on_demand(containers: Containers, enter: Enter) -> None:
    container = containers()
    quiet(enter(container, options=("-m",)))
    words = ["runc", "--root", str(container.state), "exec", container.id]
    with subprocess.Popen(
        [*words, "/dev/crashcart/bin/sh", "-c", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as tool:
        assert tool.stdout is not None
        assert tool.stdin is not None
        assert tool.stdout.readline() == b"up\n"
        done = enter(container, options=("-u",))
        assert done.returncode == 1
        assert "is in use" in done.stderr
        quiet(enter(container, options=("-u", "--force")))
        tool.stdin.close()
        tool.wait()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_entry_that_is_no_directory_is_refused_and_left(
    kind: str, containers: Containers, enter: Enter, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def settle(container: support.Container) -> None:
        entry = Path(f"/proc/{container.pid}/root/dev/crashcart")
        if kind == "file":
            entry.write_text("mine")
        else:
            entry.symlink_to(outside)

    container = containers(settle=settle)
    done = enter(container, options=("-m",))
    assert done.returncode == 1
    assert "/dev/crashcart exists and is no directory" in done.stderr
    assert os.listdir(outside) == []
    # A session of its own needs nothing of that entry.
    assert enter(container, "cat", "/dev/crashcart/etc/marker").stdout == "tools\n"


def test_private_session_beside_a_shared_mount_leaves_it_alone(containers: Containers, enter: Enter) -> None:
    container = containers()
    quiet(enter(container, options=("-m",)))
    assert enter(container, "cat", "/dev/crashcart/etc/marker").stdout == "tools\n"
    assert container.execute("/dev/crashcart/bin/true").returncode == 0
    quiet(enter(container, options=("-u",)))
