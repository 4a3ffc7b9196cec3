"""Profile strict repeats the filters of a process that no configuration tells of, as the kernel shows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]

FILTERED = """
import os, platform
from ocicommon.linux import process, seccomp
machine = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[platform.machine()]
process.set_no_new_privileges()
for name in ("sethostname", "setdomainname"):
    rules = [{"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]
    asked = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [machine], "syscalls": rules}
    seccomp.load(seccomp.compile(asked), seccomp.flags(asked))
os.write(1, b"up\\n")
os.execv("/bin/sleep", ["sleep", "100000"])
"""


@pytest.fixture
def filtered(processes: Callable[..., int]) -> int:
    return processes([sys.executable, "-c", FILTERED], "--mount-proc")


def test_strict_session_has_the_filters_of_a_bare_pid(filtered: int, enter: Enter) -> None:
    done = enter(filtered, "grep", "-E", "^(NoNewPrivs|Seccomp)", "/proc/self/status", options=("--profile", "strict"))
    if "CONFIG_CHECKPOINT_RESTORE" in done.stderr:
        pytest.skip("this kernel does not show filters")
    with open(f"/proc/{filtered}/status") as file:
        own = [line for line in file if line.startswith(("NoNewPrivs", "Seccomp"))]
    assert (done.returncode, done.stdout) == (0, "".join(own)), done.stderr


def test_process_goes_on_after_its_filters_were_read(filtered: int, enter: Enter) -> None:
    for _ in range(3):
        enter(filtered, "true", options=("--profile", "strict"))
    with open(f"/proc/{filtered}/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    assert status["State"].startswith("S")
    assert status["TracerPid"] == "0"


def test_filters_that_cannot_be_read_are_one_sentence(filtered: int, enter: Enter) -> None:
    """Somebody else traces it already."""
    strace = (
        subprocess.Popen(["true"])
        if not _strace()
        else subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(filtered)], stderr=subprocess.PIPE, text=True)
    )
    if not _strace():
        strace.wait()
        pytest.skip("needs strace, and the right to trace")
    try:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        done = enter(filtered, "true", options=("--profile", "strict"))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "cannot be read" in done.stderr
        assert "use --profile debug" in done.stderr
    finally:
        strace.terminate()
        strace.wait()


def _strace() -> bool:
    try:
        return subprocess.run(["strace", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
