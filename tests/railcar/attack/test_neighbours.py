"""Processes of a container that watch, race or try to keep what enters it."""

import copy
import hashlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from attack_support import CAPABILITIES, left_behind
from ocicommon.linux import mounts

pytestmark = pytest.mark.root

PATIENCE = 60
# ATTACK_SECONDS=60 in the environment, as CI has it, races for as long as it takes to be sure.
RACE_SECONDS = float(os.environ.get("ATTACK_SECONDS", "2.5"))


def wait_for(path, token):
    """Poll a file of the container for a token."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists() and token in path.read_text():
            return
        time.sleep(0.02)
    pytest.fail(f"{token} did not appear in {path} within {PATIENCE} s")


def interpreter_digests():
    """The host's programs that a runtime made of Python has open while it joins."""
    paths = {Path(sys.executable).resolve(), Path("/usr/bin/python3").resolve()}
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()}


@pytest.mark.parametrize("powerful", [False, True])
def test_whoever_watches_an_exec_sees_nothing_of_the_host(bundle, runtime, compiled, powerful):
    """CVE-2016-9962 and CVE-2019-5736: the joining process is looked into, and its program kept for writing."""
    (bundle.rootfs / "bin" / "watcher").write_bytes(compiled("watcher").read_bytes())
    (bundle.rootfs / "bin" / "watcher").chmod(0o755)
    bundle.shell("exec /bin/watcher > /tmp/seen 2>&1")
    if powerful:
        names = [*CAPABILITIES, "CAP_SYS_PTRACE"]
        bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    before = interpreter_digests()
    runtime.start(bundle)
    seen = bundle.rootfs / "tmp" / "seen"
    wait_for(seen, "READY")
    for _ in range(15):
        result = runtime.call("exec", "attack", "/bin/true")
        assert result.returncode == 0, result.stderr
    (bundle.rootfs / "tmp" / "stop").touch()
    wait_for(seen, "DONE")
    lines = seen.read_text().splitlines()
    assert [line for line in lines if line.startswith("WRITABLE")] == []
    assert [line for line in lines if line.startswith("SEEN")] == []
    assert interpreter_digests() == before


def kernel_makes_procfs_of_any_pid_namespace():
    """Linux 6.17; before it, who mounts a procfs has to be inside."""
    context = mounts.fsopen("proc")
    space = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        mounts.fsconfig_set_fd(context, "pidns", space)
    except OSError:
        return False
    finally:
        os.close(context)
        os.close(space)
    return True


def test_whoever_watches_a_creation_sees_nothing_of_the_host(bundle, other_bundle, runtime, compiled):
    """The same by `create`: a container comes into the pid namespace of one that may trace."""
    (bundle.rootfs / "bin" / "watcher").write_bytes(compiled("watcher").read_bytes())
    (bundle.rootfs / "bin" / "watcher").chmod(0o755)
    bundle.shell("exec /bin/watcher > /tmp/seen 2>&1")
    names = [*CAPABILITIES, "CAP_SYS_PTRACE"]
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    before = interpreter_digests()
    pid = runtime.start(bundle)
    seen = bundle.rootfs / "tmp" / "seen"
    wait_for(seen, "READY")
    join(other_bundle, pid)
    other_bundle.shell("cat /proc/1/comm; read line; echo $line; exit 5")
    for _ in range(15):
        result = runtime.run(other_bundle, "other", input="given\n")
        assert (result.returncode, result.stdout) == (5, "watcher\ngiven\n"), result.stderr
    # This one's neighbour, which may not trace, does not make an exec in it safe.
    other_bundle.shell("sleep 1000")
    runtime.start(other_bundle, "other")
    for _ in range(15):
        assert runtime.call("exec", "other", "/bin/true").returncode == 0
    (bundle.rootfs / "tmp" / "stop").touch()
    wait_for(seen, "DONE")
    lines = seen.read_text().splitlines()
    assert [line for line in lines if line.startswith("WRITABLE")] == []
    # Its own: where it waits for `start`, and the stream that the test gave it.
    own = ("/exec.fifo", "/reply.fifo", "/told")
    if kernel_makes_procfs_of_any_pid_namespace():
        assert [line for line in lines if line.startswith("SEEN") and not line.endswith(own)] == []
    assert interpreter_digests() == before


def join(bundle, pid):
    [entry] = [entry for entry in bundle.config["linux"]["namespaces"] if entry["type"] == "pid"]
    entry["path"] = f"/proc/{pid}/ns/pid"


@pytest.mark.parametrize("fault", ["program", "cwd", "mount", "hook"])
def test_a_creation_among_tracers_that_fails_leaves_nothing(bundle, other_bundle, runtime, fault):
    names = [*CAPABILITIES, "CAP_SYS_PTRACE"]
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    bundle.shell("sleep 1000")
    join(other_bundle, runtime.start(bundle))
    if fault == "program":
        other_bundle.config["process"]["args"] = ["/bin/nothing"]
    elif fault == "cwd":
        other_bundle.config["process"]["cwd"] = "/bin/busybox"
    elif fault == "mount":
        other_bundle.config["mounts"].append({"destination": "/x", "type": "nonsense", "source": "x"})
    else:
        other_bundle.config["hooks"] = {"createContainer": [{"path": "/bin/false"}]}
    before = left_behind(other_bundle.path.parent)
    result = runtime.run(other_bundle, "other")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()
    assert runtime.names() == ["attack"]
    assert left_behind(other_bundle.path.parent) == before
    assert len(runtime.call("ps", "--format", "json", "attack").stdout.split(",")) == 1


@pytest.mark.parametrize("way", ["program", "interpreter"])
def test_executing_the_runtimes_own_program_is_worthless(bundle, runtime, way):
    """CVE-2019-5736: an image whose program is /proc/self/exe runs what executed it."""
    if way == "interpreter":
        script = bundle.rootfs / "bin" / "script"
        script.write_text("#!/proc/self/exe\n")
        script.chmod(0o755)
        bundle.config["process"]["args"] = ["/bin/script"]
    else:
        bundle.config["process"]["args"] = ["/proc/self/exe", "-c", "print('python')"]
    before = interpreter_digests()
    result = runtime.run(bundle)
    assert "python" not in result.stdout.lower()
    assert "Python" not in result.stderr
    assert interpreter_digests() == before
    bundle.shell("sleep 1000")
    runtime.start(bundle, "second")
    result = runtime.call("exec", "second", "/proc/self/exe", "-c", "print('python')")
    assert "python" not in result.stdout.lower()
    assert interpreter_digests() == before


@contextmanager
def swapping(program, first, second):
    """Exchange two names all the while; says how often."""
    swaps = []
    swapper = subprocess.Popen([program, first, second], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert swapper.stdout.readline() == b"READY\n"
        yield swaps
    finally:
        swaps.append(int(swapper.communicate()[0] or 0))


def race(what, seconds, attempt, capsys, swapper):
    """Attempt for so long, at least once, while names are exchanged; say how often both was."""
    with swapping(*swapper) as swaps:
        attempts, end = 0, time.monotonic() + seconds
        while attempts == 0 or time.monotonic() < end:
            attempt(attempts)
            attempts += 1
    with capsys.disabled():
        print(f"\n{what}: {attempts} containers against {swaps[0]} exchanges in {seconds:.0f} s", flush=True)
    assert attempts >= 1
    assert swaps[0] >= 1


def shared_volume(bundle, host, tmp_path):
    """A volume with a directory, links to the host in its place, and what several mounts of it are made on."""
    shared = tmp_path / "shared"
    (shared / "a").mkdir(parents=True)
    (shared / "b").symlink_to(host)
    volume = {"destination": "/vol", "type": "bind", "source": str(shared), "options": ["rbind", "rw"]}
    bundle.config["mounts"].append(volume)
    return shared / "a", shared / "b"


def variants(bundle, changes):
    """The configuration with one of the changes each, in turn."""
    plain = copy.deepcopy(bundle.config)

    def choose(number):
        bundle.config = copy.deepcopy(plain)
        changes[number % len(changes)](bundle.config)

    return choose


def nothing_of_the_host_changed(host):
    assert [path.name for path in host.iterdir()] == ["secret"]
    assert (host / "secret").read_text() == "host secret\n"
    with open("/proc/self/mountinfo") as table:
        assert str(host) not in table.read()


def test_a_mount_point_that_is_swapped_leads_nowhere(bundle, runtime, compiled, host, tmp_path, capsys):
    """CVE-2021-30465: between the check of a mount point in a volume and its use, it becomes a link to the host."""
    names = shared_volume(bundle, host, tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": []}
    bind = {"type": "bind", "source": str(source), "options": ["bind"]}
    choose = variants(
        bundle,
        [
            lambda config: config["mounts"].append({"destination": "/vol/a", **tmpfs}),
            lambda config: config["mounts"].append({"destination": "/vol/a", **bind}),
            lambda config: config["mounts"].append({"destination": "/vol/a/made", **bind}),
            lambda config: config["linux"]["maskedPaths"].append("/vol/a"),
            lambda config: config["linux"]["readonlyPaths"].append("/vol/a"),
        ],
    )

    def attempt(number):
        choose(number)
        result = runtime.run(bundle)
        assert "Traceback" not in result.stderr
        nothing_of_the_host_changed(host)

    race("mount points", RACE_SECONDS, attempt, capsys, (compiled("swapper"), *names))


def test_what_is_made_in_a_swapped_directory_is_not_made_on_the_host(bundle, runtime, compiled, host, tmp_path, capsys):
    """CVE-2024-45310: directories and files that a mount, a device or a working directory needs are made behind it."""
    names = shared_volume(bundle, host, tmp_path)
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": []}
    file = {"type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]}
    node = {"type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
    choose = variants(
        bundle,
        [
            lambda config: config["mounts"].append({"destination": "/vol/a/made/deep", **tmpfs}),
            lambda config: config["mounts"].append({"destination": "/vol/a/made/deeper/file", **file}),
            lambda config: config["linux"].update(devices=[{"path": "/vol/a/node", **node}]),
            lambda config: config["process"].update(cwd="/vol/a/made/there"),
        ],
    )

    def attempt(number):
        choose(number)
        result = runtime.run(bundle)
        assert "Traceback" not in result.stderr
        nothing_of_the_host_changed(host)

    race("made directories", RACE_SECONDS, attempt, capsys, (compiled("swapper"), *names))


def test_sysctls_are_written_to_the_kernel_and_nowhere_else(bundle, runtime, compiled, tmp_path, capsys):
    """CVE-2025-52881, as a race: the volume over which /proc is mounted changes while labels and sysctls are set."""
    shared = tmp_path / "shared"
    (shared / "proc").mkdir(parents=True)
    (shared / "fake" / "sys" / "kernel").mkdir(parents=True)
    (shared / "fake" / "sys" / "kernel" / "domainname").write_text("untouched")
    bundle.without_mount("/proc")
    bundle.config["mounts"][:0] = [
        {"destination": "/vol", "type": "bind", "source": str(shared), "options": ["rbind", "rw"]},
        {"destination": "/vol/proc", "type": "proc", "source": "proc", "options": []},
        {"destination": "/proc", "type": "proc", "source": "proc", "options": []},
    ]
    bundle.config["linux"]["sysctl"] = {"kernel.domainname": "attacked"}
    bundle.config["process"]["args"] = ["/bin/cat", "/proc/sys/kernel/domainname"]

    def attempt(number):
        result = runtime.run(bundle)
        assert "Traceback" not in result.stderr
        assert result.stdout in ("", "attacked\n")

    names = shared / "proc", shared / "fake"
    race("sysctl", min(RACE_SECONDS, 5), attempt, capsys, (compiled("swapper"), *names))
    places = [name / "sys" / "kernel" / "domainname" for name in names]
    assert [place.read_text() for place in places if place.exists()] == ["untouched"]


def test_an_exec_among_tracers_behaves_like_any_other(bundle, runtime, tmp_path):
    names = [*CAPABILITIES, "CAP_SYS_PTRACE"]
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    script = "cat; id -u; pwd; exit 7"
    for _ in range(3):
        result = runtime.call(
            "exec", "--user", "5", "--cwd", "/tmp", "attack", "/bin/sh", "-c", script, input="given\n"
        )
        assert (result.returncode, result.stdout) == (7, "given\n5\n/tmp\n"), result.stderr
    missing = runtime.call("exec", "attack", "/bin/nothing")
    assert missing.returncode != 0
    assert "no such file or directory" in missing.stderr
    pid_file = tmp_path / "pid"
    # It keeps the streams: they must not be pipes that somebody waits for.
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    line = [runtime.command, "--root", runtime.root, "exec", "--detach", "--pid-file", pid_file, "attack"]
    subprocess.run([*line, "/bin/sleep", "1000"], check=True, timeout=PATIENCE, **nowhere)
    assert Path(f"/proc/{pid_file.read_text()}/cmdline").read_bytes() == b"/bin/sleep\x001000\0"
    inside = runtime.call("exec", "attack", "/bin/ls", "/proc/self/fd")
    assert inside.stdout.split() in (["0", "1", "2"], ["0", "1", "2", "3"])
