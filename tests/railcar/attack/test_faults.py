"""Whatever fails at whatever step: a sentence and nothing left. Whatever dies: `delete --force` leaves nothing."""

import os
import shutil
import subprocess

import pytest
from attack_support import left_behind

pytestmark = pytest.mark.root

# (system call, its how-manieth use): over all of the steps of a container's life, in both of its processes.
STEPS = [
    *(("mkdir", n) for n in (1, 2, 4, 9)),
    *(("rename", n) for n in (1, 2)),
    *(("open_tree", n) for n in (1, 4)),
    *(("fsopen", n) for n in (1, 4)),
    *(("fsmount", n) for n in (2, 5)),
    *(("move_mount", n) for n in (1, 3, 8)),
    *(("mount_setattr", n) for n in (1, 3)),
    *(("openat2", n) for n in (1, 10)),
    *(("mknodat", n) for n in (1, 6)),
    ("symlinkat", 2),
    ("pivot_root", 1),
    ("umount2", 1),
    ("clone3", 1),
    ("memfd_create", 1),
    ("setsid", 1),
    ("capset", 1),
    ("sendto", 2),
    ("recvfrom", 2),
    ("execveat", 1),
]


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    found = shutil.which("strace")
    if found is None:
        pytest.skip("needs strace")
    place = tmp_path_factory.mktemp("probe")
    probe = [found, "-f", "-o", place / "out", "-e", "trace=chdir", "-e", "inject=chdir:error=ENOMEM:when=1", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs a strace that may trace and inject faults")
    return found


def run_with(strace, bundle, runtime, tmp_path, fault):
    """Run the bundle with a fault; (exit code, what was said, whether the fault was met)."""
    bundle.write()
    trace = tmp_path / "trace"
    call = fault.split(":")[0]
    line = [strace, "-f", "-o", trace, "-e", f"trace={call}", "-e", f"inject={fault}"]
    running = subprocess.Popen(
        [*line, runtime.command, "--root", runtime.root, "run", "--bundle", bundle.path, "attack"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = running.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        # A container that was created waits for its start, and strace for the container.
        runtime.call("delete", "--force", "attack")
        said = running.communicate(timeout=60)[1]
    text = trace.read_text(errors="replace")
    return running.returncode, said, "(INJECTED)" in text or "+++ killed by SIGKILL" in text


def processes(place):
    """Processes that have something to do with a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
            if str(place).encode() in words or os.readlink(f"/proc/{pid}/root").startswith(str(place)):
                found.append((pid, words))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("call", "number"), STEPS)
def test_a_step_that_fails_leaves_nothing(strace, bundle, runtime, tmp_path, call, number):
    code, said, met = run_with(strace, bundle, runtime, tmp_path, f"{call}:error=ENOMEM:when={number}")
    if not met:
        pytest.skip(f"{call} is not made {number} times on this kernel")
    assert "Traceback" not in said
    assert "in a way it should not" not in said
    assert code == 0 or said.strip()
    assert runtime.names() == []
    assert left_behind(tmp_path) == ([], [])
    assert processes(tmp_path) == []


@pytest.mark.parametrize(("call", "number"), STEPS[::2])
def test_a_death_at_any_step_is_cleaned_up(strace, bundle, runtime, tmp_path, call, number):
    _, _, met = run_with(strace, bundle, runtime, tmp_path, f"{call}:signal=KILL:when={number}")
    if not met:
        pytest.skip(f"{call} is not made {number} times on this kernel")
    removed = runtime.call("delete", "--force", "attack")
    assert removed.returncode == 0, removed.stderr
    assert runtime.names() == []
    assert left_behind(tmp_path) == ([], [])
    assert processes(tmp_path) == []
