"""What other runtimes leave to guess, in one sentence each: the thing, the value, the way out, the errno's words."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

FOREIGN = b"\x16\x00"  # e_machine of s390x
PROGRAMS = {
    "script": ("the interpreter of its first line, '/no/interpreter', does not", "no such file or directory"),
    "dynamic": ("(a dynamic program in an image without its loader)", "no such file or directory"),
    "foreign": ("it is a program for s390x", "exec format error"),
    "text": ("it is neither a program for this machine nor a script with a #! line", "exec format error"),
}


def refused(runner: Any, made: Any) -> str:
    """The one line of a `run` that must fail and must leave nothing."""
    name = runner.id()
    done = runner("run", "--bundle", made.write().path, name)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert name not in runner.ok("list", "-q")
    return lines[0]


@pytest.mark.parametrize("kind", sorted(PROGRAMS))
def test_a_program_that_cannot_run(runner: Any, bundle: Any, kind: str) -> None:
    made = bundle(f"/tmp/{kind}")
    busybox = (made.rootfs / "bin/busybox").read_bytes()
    host = Path("/bin/ls").read_bytes()
    if kind == "dynamic" and b"ld-linux" not in host[:4096]:
        pytest.skip("/bin/ls is no dynamic program here")
    contents = {
        "script": b"#!/no/interpreter\n",
        "dynamic": host,
        "foreign": busybox[:18] + FOREIGN + busybox[20:],
        "text": b"just text\n",
    }
    program = made.rootfs / "tmp" / kind
    program.write_bytes(contents[kind])
    program.chmod(0o755)
    said = refused(runner, made)
    hint, ending = PROGRAMS[kind]
    if kind == "foreign" and Path("/proc/sys/fs/binfmt_misc/status").exists():
        hint = "neither a program for this machine"  # an emulator might take it, so it is left to the kernel
    assert f"exec: /tmp/{kind}: " in said
    assert hint in said
    assert said.endswith(ending)


def test_a_filesystem_mounted_noexec(runner: Any, bundle: Any, tmp_path: Path) -> None:
    made = bundle("/mnt/busybox", "true")
    (made.rootfs / "mnt").mkdir(exist_ok=True)
    shutil.copy(made.rootfs / "bin/busybox", tmp_path / "busybox")
    made.config["mounts"].append(
        {"destination": "/mnt", "type": "bind", "source": str(tmp_path), "options": ["bind", "noexec"]}
    )
    assert refused(runner, made) == "exec: /mnt/busybox: it is on a filesystem mounted noexec: permission denied"


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"])
def test_a_filter_that_kills_the_start(runner: Any, bundle: Any, action: str) -> None:
    made = bundle("true")
    rule = {"names": ["execve", "execveat"], "action": action}
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    said = refused(runner, made)
    assert "the seccomp filter killed the first process of" in said
    assert "linux.seccomp must allow execve" in said


def test_a_filter_that_refuses_the_start(runner: Any, bundle: Any) -> None:
    made = bundle("true")
    rule = {"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    said = refused(runner, made)
    assert "exec" in said
    assert said.endswith("operation not permitted")


def test_a_misspelt_key_is_pointed_out(runner: Any, bundle: Any) -> None:
    made = bundle("true")
    made.config["process"]["noNewPriviliges"] = True
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert done.returncode == 0
    assert '"process.noNewPriviliges"' in done.stderr
    assert 'perhaps "noNewPrivileges"?' in done.stderr


@pytest.mark.parametrize(("option", "told"), [("sise=1m", "sise"), ("size=1z", "size")])
def test_a_bad_tmpfs_option_is_named(runner: Any, bundle: Any, option: str, told: str) -> None:
    made = bundle("true")
    made.config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [option]})
    said = refused(runner, made)
    assert "tmpfs on /tmp" in said
    assert told in said
    assert said.endswith("invalid argument")


def test_a_mount_that_fails_is_shown_whole(runner: Any, bundle: Any) -> None:
    made = bundle("true")
    made.config["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/no/where", "options": ["rbind"]})
    said = refused(runner, made)
    assert said.endswith("bind on /mnt: source /no/where: no such file or directory")
    made.config["mounts"][-1] = {"destination": "/mnt", "type": "nofs", "source": "x"}
    said = refused(runner, made)
    assert said.endswith('nofs on /mnt: the kernel knows no filesystem "nofs": no such device')


def test_an_unmapped_owner_of_the_root(runner: Any, bundle: Any) -> None:
    made = bundle("true")
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.config["linux"]["namespaces"].append({"type": "user"})
    made.config["linux"]["uidMappings"] = made.config["linux"]["gidMappings"] = mapping
    made.rootfs.chmod(0o700)
    for parent in made.rootfs.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    try:
        said = refused(runner, made)
    finally:
        made.rootfs.chmod(0o755)
    assert said.endswith("permission denied")
    assert str(made.rootfs) in said


def test_a_limit_that_may_not_be_raised_has_a_name(runner: Any, bundle: Any) -> None:
    made = bundle("true")
    highest = int(Path("/proc/sys/fs/nr_open").read_text()) + 1
    made.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": highest, "hard": highest}]
    said = refused(runner, made)
    assert f"RLIMIT_NOFILE {highest}:{highest}" in said
    assert said.endswith("operation not permitted")


def test_a_memory_limit_that_is_too_small_tells_the_usage(runner: Any, bundle: Any) -> None:
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        pytest.skip("needs the memory controller of cgroup v1")
    made = bundle("true")
    made.config["linux"]["resources"] = {"memory": {"limit": 16384}}
    said = refused(runner, made)
    assert "unable to set memory limit to 16384 (current usage: " in said
    assert "peak usage: " in said


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"])
def test_a_hook_that_dies_tells_how_and_what_it_said(runner: Any, bundle: Any, kind: str) -> None:
    made = bundle("true")
    script = "echo first; echo second >&2; kill -ILL $$"
    made.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    said = refused(runner, made)
    assert (
        said
        == f"error running {kind} hook #0: /bin/sh: killed by signal 4 (illegal instruction); it said: first / second"
    )
