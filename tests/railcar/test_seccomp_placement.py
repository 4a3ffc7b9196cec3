"""What runs under a container's seccomp filter before the container's own program does: by strace, exactly."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]
PYTHON = ["prctl", "sendto", "recvfrom", "prctl", "execveat"]
STUB = ["rt_sigaction", "read", "write", "fcntl", "fcntl"]


def under_the_filter(runner: Any, made: Any, log: Path) -> list[str]:
    """The system calls between the loading of the filter and the exec of the program."""
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("strace is not installed, or may not trace")
    null = subprocess.DEVNULL
    argv = [strace, "-f", "-qq", "-o", str(log), *runner.argv("run", "--bundle", made.path, runner.id())]
    subprocess.run(argv, stdin=null, stdout=null, stderr=null, check=True, timeout=120)
    lines = [line.split(None, 1) for line in log.read_text(errors="replace").splitlines()]
    calls = [(pid, text.partition("(")[0], text) for pid, text in lines if "resumed>" not in text and "(" in text]
    start, pid = next((n, pid) for n, (pid, name, text) in enumerate(calls) if name == "seccomp" and "FILTER" in text)
    found = []
    for other, name, text in calls[start + 1 :]:
        if other != pid or not name.replace("_", "").isalnum():
            continue
        if not (name == "read" and found[-1:] == ["read"]):  # a stop by the tracer interrupts it
            found.append(name)
        if name == "execve" and "/bin/true" in text:
            break
    return found


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        ({"noNewPrivileges": True}, ["execve"]),
        ({"noNewPrivileges": False}, [*PYTHON, *STUB, "execve"]),
        ({"noNewPrivileges": True, "user": {"uid": 1000, "gid": 1000}}, ["execve"]),
        ({"noNewPrivileges": False, "user": {"uid": 1000, "gid": 1000}}, [*PYTHON, *STUB, "prctl", "capset", "execve"]),
    ],
)
def test_nothing_else_runs_under_the_filter(
    runner: Any, bundle: MakeBundle, tmp_path: Path, process: dict[str, Any], expected: list[str]
) -> None:
    from ocicommon.linux.seccomp import default

    made = bundle("/bin/true", docker=True, **process)
    made.config["linux"]["seccomp"] = default.docker(made.config["process"]["capabilities"]["bounding"])
    found = under_the_filter(runner, made.write(), tmp_path / "log")
    assert found == expected


def test_a_filter_that_lets_no_stub_live_is_followed_by_the_program(
    runner: Any, bundle: MakeBundle, tmp_path: Path
) -> None:
    made = bundle("/bin/true")
    rule = {"names": ["read", "fcntl", "capset"], "action": "SCMP_ACT_ERRNO"}
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert under_the_filter(runner, made.write(), tmp_path / "log") == ["execve"]
