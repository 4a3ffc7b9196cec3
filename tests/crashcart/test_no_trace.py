"""Whatever ends a session, and at whatever step: the container and the host are as before."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]
LOOP = "trap '' TERM HUP INT; (sleep 100000 &); echo up; while :; do sleep 0.1; done"


def session(crashcart: Path, image: Path, container: support.Container) -> subprocess.Popen[bytes]:
    """A session that runs for ever, with a child in the background; returned when it runs."""
    words = [str(crashcart), "-i", str(image), "--root", str(container.state), container.id, "sh", "-c", LOOP]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def members_of_session(container: support.Container) -> set[int]:
    return support.members(container.pid) - {container.pid}


def test_kill_of_crashcart_ends_the_session(
    crashcart: Path, image: Path, containers: Containers, traces: support.Traces
) -> None:
    container = containers()
    with session(crashcart, image, container) as process:
        assert len(members_of_session(container)) >= 3
        process.kill()
        process.wait()
        traces.check()


def test_kill_of_the_supervisor_ends_the_session(
    crashcart: Path, image: Path, containers: Containers, traces: support.Traces
) -> None:
    container = containers()
    with session(crashcart, image, container) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait(timeout=support.DEADLINE) == 137
        traces.check()


def test_death_of_the_container_ends_the_session(
    crashcart: Path, image: Path, containers: Containers, traces: support.Traces
) -> None:
    container = containers()
    with session(crashcart, image, container) as process:
        container.kill()
        assert process.wait(timeout=support.DEADLINE) == 137
        assert process.stderr is not None
        assert b"ended, and the session with it" in process.stderr.read()
        traces.check()


def test_death_of_a_target_in_our_pid_namespace_ends_the_session(
    crashcart: Path, image: Path, traces: support.Traces
) -> None:
    with subprocess.Popen(["sleep", "100000"]) as target:
        words = [str(crashcart), "-i", str(image), str(target.pid), "sh", "-c", LOOP]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            namespace = "mnt"
            child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            inside = support.members(child, namespace)
            target.kill()
            assert process.wait(timeout=support.DEADLINE) == 137
            support.until(lambda: not any(support.alive(pid) for pid in inside), "processes of the session are left")


# (system call, which call of it): every one that changes anything, of crashcart or of its supervisor. Not wait4, which
# both make at the end: with both killed at once there is nobody left to end what the command left running.
STEPS = [
    ("fsopen", 1),
    ("fsconfig", 3),
    ("fsmount", 1),
    ("socketpair", 1),
    ("pipe2", 2),
    ("setns", 1),
    ("setns", 2),
    ("setsid", 1),
    ("unshare", 1),
    ("chroot", 1),
    ("fsmount", 3),
    ("move_mount", 1),
    ("mkdir", 1),
    ("open_tree", 3),
    ("move_mount", 4),
    ("mkdirat", 1),
    ("capset", 1),
    ("seccomp", 1),
    ("recvmsg", 3),
    ("sendto", 6),  # the supervisor is about to say that the command runs
]


@pytest.mark.parametrize(("call", "count"), STEPS)
def test_kill_at_a_step_leaves_nothing(
    call: str, count: int, containers: Containers, enter: Enter, traces: support.Traces
) -> None:
    probe = subprocess.run(["strace", "-f", "true"], capture_output=True, check=False) if _has_strace() else None
    if probe is None or probe.returncode:
        pytest.skip("needs strace, and the right to trace")
    container = containers()
    inject = f"{call}:signal=SIGKILL:when={count}"
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={inject}")
    enter(container, "sh", "-c", "(sleep 100000 &); echo done", wrapper=strace)
    traces.check()
    # The container is as good as before, and so is the next session.
    assert enter(container, "echo", "again").stdout == "again\n"


def _has_strace() -> bool:
    return any(os.access(f"{directory}/strace", os.X_OK) for directory in os.get_exec_path())


def test_refused_step_leaves_nothing(containers: Containers, enter: Enter, traces: support.Traces) -> None:
    if not _has_strace():
        pytest.skip("needs strace")
    container = containers()
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=move_mount")
    for count in (1, 2, 5):
        inject = ("-e", f"inject=move_mount:error=EPERM:when={count}+")
        done = enter(container, "echo", "in", wrapper=(*strace, *inject))
        assert done.returncode == 1
        assert "operation not permitted (EPERM)" in done.stderr
        traces.check()


def test_container_that_removes_the_mount_point_all_the_time_does_not_disturb(
    containers: Containers, enter: Enter
) -> None:
    loop = "while :; do /bin/rmdir /dev/crashcart 2>/dev/null; done"
    container = containers(arguments=("/bin/sh", "-c", loop))
    script = "for i in 1 2 3 4 5 6 7 8 9; do cat /dev/crashcart/etc/marker; done"
    done = enter(container, "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "tools\n" * 9)
