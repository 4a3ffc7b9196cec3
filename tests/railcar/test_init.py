"""--init: a small process 1 reaps orphans, passes signals on, and ends as the program does."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from railcar import stub

pytestmark = pytest.mark.skipif(not stub.supported(), reason="no stub for this architecture")


def test_program_is_the_child_and_its_exit_code_counts(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "echo $$ $PPID; exit 41")
    done = runner("run", "--init", "--bundle", made.path, runner.id())
    assert (done.returncode, done.stdout, done.stderr) == (41, "2 1\n", "")


def test_death_by_signal_counts(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "kill -9 $$")
    assert runner("run", "--init", "--bundle", made.path, runner.id()).returncode == 137


@pytest.mark.parametrize("user", [0, 1000])
def test_works_readonly_as_any_user_with_a_filter(runner: Any, bundle: Callable[..., Any], user: int) -> None:
    made = bundle("sh", "-c", "id -u; echo $PPID", docker=True, user={"uid": user, "gid": user})
    made.config["root"]["readonly"] = True
    made.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["reboot", "setns"], "action": "SCMP_ACT_ERRNO"}],
    }
    made.write()
    assert runner.out(made, "--init") == f"{user}\n1\n"


def test_needs_nothing_of_the_image(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("/bin/echo", "here")
    made.config["mounts"] = []
    made.write()
    assert runner.out(made, "--init") == "here\n"


def test_orphans_are_reaped(runner: Any, bundle: Callable[..., Any]) -> None:
    """A grandchild whose parent has ended is process 1's, and gone when it has ended."""
    script = """
        (sh -c 'echo $$ > /tmp/orphan; read word < /tmp/go' & )
        while [ ! -s /tmp/orphan ]; do :; done
        pid=$(cat /tmp/orphan)
        while ! grep -q "^PPid:.1$" /proc/$pid/status; do :; done
        echo > /tmp/go
        while [ -d /proc/$pid ]; do :; done
        echo reaped
    """
    made = bundle("sh", "-c", "mkfifo /tmp/go; " + script)
    assert runner.out(made, "--init") == "reaped\n"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "QUIT"])
def test_signals_are_passed_on(
    runner: Any, bundle: Callable[..., Any], wait_until: Callable[..., Any], name: str, tmp_path: Path
) -> None:
    made = bundle("sh", "-c", f"trap 'echo got; exit 5' {name}; echo ready; while :; do sleep 0.05; done")
    container = runner.id()
    said = tmp_path / "said"
    with said.open("wb") as output:
        argv = runner.argv("run", "--init", "--bundle", made.path, container)
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output)
        wait_until(lambda: said.read_text() == "ready\n" or process.poll() is not None)
        runner.ok("kill", container, name)
        assert process.wait(timeout=60) == 5
    assert said.read_text() == "ready\ngot\n"


def test_create_and_start_report_a_program_that_is_not_there(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("/bin/sh")
    container = runner.id()
    made.config["process"]["args"] = ["/bin/broken"]
    made.write()
    (made.rootfs / "bin/broken").write_text("neither")
    (made.rootfs / "bin/broken").chmod(0o755)
    runner.ok("create", "--init", "--bundle", made.path, container)
    assert runner.state(container)["status"] == "created"
    done = runner("start", container)
    assert done.returncode == 1
    assert "/bin/broken" in done.stderr
    runner.wait(container, "stopped")


def test_a_filter_that_stops_the_init_is_refused(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("true")
    made.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["wait4"], "action": "SCMP_ACT_ERRNO"}],
    }
    made.write()
    done = runner("run", "--init", "--bundle", made.path, runner.id())
    assert done.returncode == 1
    assert "--init: linux.seccomp denies" in done.stderr


def test_aarch64_init_works_under_emulation(place: Path) -> None:
    """The same program for the other architecture: the child's exit code comes through."""
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not emulator:
        pytest.skip("qemu-aarch64 is not installed")
    reply, reply_write = os.pipe()
    image = place / "stub"
    image.write_bytes(stub.image(stub.Needs(go=-1, reply=reply_write, init=True), "aarch64"))
    image.chmod(0o755)
    done = subprocess.run(
        [emulator, str(image), "/bin/sh", "sh", "-c", "exit 9"], pass_fds=[reply_write], timeout=60, check=False
    )
    os.close(reply_write)
    assert os.read(reply, 10) == stub.ANNOUNCED
    os.close(reply)
    if done.returncode in (-signal.SIGILL, 128 + signal.SIGILL):
        pytest.skip("this emulator cannot run the program")
    assert done.returncode == 9


def test_state_is_that_of_the_init(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("sh", "-c", "read word")
    container = runner.id()
    runner.ok("create", "--init", "--bundle", made.path, container)
    runner.ok("start", container)
    runner.ok("delete", "--force", container)
    assert json.loads(runner.ok("list", "--format", "json")) in (None, [])
