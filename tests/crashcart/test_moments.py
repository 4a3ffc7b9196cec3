"""SIGKILL of crashcart, the end of the container, and a refused system call, at moments that nobody chose."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]
SEED = 20170621
LEAVES_CHILDREN = ["sh", "-c", "(sleep 100000 &); (trap '' TERM; sleep 100000 & sleep 100000); echo done"]


def may_trace(config: dict[str, Any]) -> None:
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] += ["CAP_SYS_PTRACE"]


def moments(count: int) -> list[float]:
    """Seconds: more of them where a session is set up than where it has long been running."""
    numbers = random.Random(SEED)
    return [numbers.uniform(0, 0.05 if number % 4 else 0.2) for number in range(count)]


@pytest.mark.parametrize("change", [None, may_trace])
def test_kill_at_a_random_moment_leaves_nothing(
    change: Callable[[dict[str, Any]], None] | None,
    crashcart: Path,
    image: Path,
    containers: Containers,
    enter: Enter,
    traces: support.Traces,
) -> None:
    container = containers(change)
    words = [str(crashcart), "-i", str(image), "--root", str(container.state), container.id, *LEAVES_CHILDREN]
    for moment in moments(20):
        print(f"seed {SEED}, killed after {moment * 1000:.1f} ms")
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            time.sleep(moment)
            one.kill()
        traces.check()
    assert enter(container, "echo", "again").stdout == "again\n"


def test_container_that_ends_while_it_is_entered(
    crashcart: Path, image: Path, processes: Callable[..., int], traces: support.Traces
) -> None:
    for moment in moments(12):
        pid = processes(["sh", "-c", "echo up; exec sleep 100000"], watched=False)
        words = [str(crashcart), "-i", str(image), str(pid), *LEAVES_CHILDREN]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            time.sleep(moment)
            os.kill(pid, 9)
            said = one.communicate(timeout=support.DEADLINE)[1].decode()
        print(f"seed {SEED}, ended after {moment * 1000:.1f} ms: {one.returncode} {said!r}")
        assert one.returncode in (1, 137)
        assert said.startswith("crashcart: ")
        assert said.count("\n") == 1
        assert "ended" in said or "no running container" in said
        traces.check()


# System call: the errors that it is made to give, each time it is called.
REFUSED = {
    "fsopen": "ENODEV",
    "fsconfig": "EINVAL",
    "fsmount": "EPERM",
    "move_mount": "EINVAL",
    "open_tree": "EMFILE",
    "setns": "EPERM",
    "unshare": "ENOSPC",
    "chroot": "EPERM",
    "socketpair": "EMFILE",
    "pipe2": "EMFILE",
    "pidfd_open": "EMFILE",
    "clone": "EAGAIN",
    "clone3": "EPERM",
    "mkdir": "ENOSPC",
    "mkdirat": "ENOSPC",
    "symlinkat": "EROFS",
    "mount": "EACCES",
    "capset": "EPERM",
    "seccomp": "EINVAL",
    "setresuid": "EAGAIN",
    "setresgid": "EPERM",
    "setgroups": "EPERM",
    "memfd_create": "EMFILE",
    "sendto": "ENOBUFS",
    "execveat": "EACCES",
}


@pytest.mark.parametrize("change", [None, may_trace], ids=["plain", "guarded"])
@pytest.mark.parametrize("call", REFUSED)
def test_refused_call_is_one_sentence_and_leaves_nothing(
    call: str,
    change: Callable[[dict[str, Any]], None] | None,
    containers: Containers,
    enter: Enter,
    traces: support.Traces,
) -> None:
    if not shutil.which("strace") or subprocess.run(["strace", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs strace, and the right to trace")
    container = containers(change)
    inject = f"inject={call}:error={REFUSED[call]}"
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
    done = enter(container, "sh", "-c", "(sleep 100000 &); echo done", wrapper=strace)
    print(done.returncode, done.stdout, done.stderr)
    if done.returncode:
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("crashcart: ")
        assert done.stderr.count("\n") == 1
        assert "defect" not in done.stderr
        told = {"fsopen": "this kernel has no", "sendto": "without a word"}
        assert told.get(call, f"({REFUSED[call]})") in done.stderr
    else:  # an older way, or not called
        assert done.stdout == "done\n"
    traces.check()
