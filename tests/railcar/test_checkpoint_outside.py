"""What is outside of a container that criu restores: its network, the host's hooks, a broken image."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("working_criu")]

COUNTING = "n=0; while :; do n=$((n+1)); echo $n > /tmp/n; sleep 0.05; done"


def count(made: Any) -> int:
    counter = made.rootfs / "tmp/n"
    return int(counter.read_text() or 0) if counter.exists() else 0


def test_network_from_outside(
    runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        path = f"/proc/{holder.pid}/ns/net"
        made = bundle("sh", "-c", COUNTING, docker=True)
        listed = [entry for entry in made.config["linux"]["namespaces"] if entry["type"] != "network"]
        made.config["linux"]["namespaces"] = [*listed, {"type": "network", "path": path}]
        made.write()
        container = runner.id()
        runner.quiet("run", "-d", "--bundle", made.path, container)
        wait_until(lambda: count(made) > 3)
        runner.ok("checkpoint", "--image-path", tmp_path / "image", container)
        runner.quiet("restore", "-d", "--image-path", tmp_path / "image", "--bundle", made.path, container)
        assert os.readlink(f"/proc/{runner.state(container)['pid']}/ns/net") == os.readlink(path)
        runner.ok("delete", "--force", container)
    finally:
        holder.kill()
        holder.communicate()


def test_hooks_make_the_network_again(
    runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    """As docker's: a hook puts one end of a pair into the container, at create and at restore."""
    if not shutil.which("ip"):
        pytest.skip("ip (Debian: iproute2) is not installed")
    hook = tmp_path / "hook"
    hook.write_text(
        "#!/bin/sh\nexec 2>>$1.errors; cat >>$1.states; echo >>$1.states\n"
        "pid=$(tail -n 1 $1.states | grep -o '\"pid\":[0-9]*' | cut -d: -f2)\n"
        "ip link add rct-outer type veth peer name rct-inner netns $pid\n"
    )
    hook.chmod(0o755)
    made = bundle("sh", "-c", COUNTING, docker=True)
    environment = [f"PATH={os.environ['PATH']}"]
    made.config["hooks"] = {
        "createRuntime": [{"path": str(hook), "args": ["hook", str(tmp_path / "hook")], "env": environment}]
    }
    made.write()
    container, image = runner.id(), tmp_path / "image"
    runner.quiet("run", "-d", "--bundle", made.path, container)
    wait_until(lambda: count(made) > 3)
    runner.ok("checkpoint", "--image-path", image, container)
    wait_until(lambda: not os.path.exists("/sys/class/net/rct-outer"))
    runner.quiet("restore", "-d", "--image-path", image, "--bundle", made.path, container)
    pid = runner.state(container)["pid"]
    states = [json.loads(line) for line in (tmp_path / "hook.states").read_text().splitlines()]
    assert [state["status"] for state in states] == ["creating", "creating"]
    assert states[1]["pid"] == pid
    assert "rct-inner" in Path(f"/proc/{pid}/net/dev").read_text()
    before = count(made)
    wait_until(lambda: count(made) > before)
    runner.ok("delete", "--force", container)


def test_image_that_is_broken(
    runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    """The error has criu's own reason and says where its log is; nothing is left (the runner looks)."""
    made = bundle("sh", "-c", COUNTING, docker=True).write()
    container, image = runner.id(), tmp_path / "image"
    runner.quiet("run", "-d", "--bundle", made.path, container)
    wait_until(lambda: count(made) > 3)
    runner.ok("checkpoint", "--image-path", image, container)
    (image / "core-1.img").write_bytes(b"")
    options = ("--image-path", image, "--work-path", tmp_path / "logs", "--bundle", made.path)
    done = runner("restore", "-d", *options, container)
    assert done.returncode == 1
    assert "criu restore failed" in done.stderr
    assert "Error" in done.stderr
    assert f"(see {tmp_path}/logs/restore.log)" in done.stderr
    assert "container does not exist" in runner("state", container).stderr
