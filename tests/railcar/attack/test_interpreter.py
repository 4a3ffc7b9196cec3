"""railcar is Python: no file of a container, a bundle or a caller may end up in its interpreter."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import ocicommon
import pytest
import railcar as package

pytestmark = pytest.mark.root

TRAP = "open('/sprung', 'w').write(__name__)\n"


def set_traps(bundle):
    """A file that springs in the place of every module that railcar could look for, under the host's paths."""
    standard = Path(sysconfig.get_path("stdlib"))
    names = set(sys.stdlib_module_names) | {"sitecustomize", "usercustomize"}
    for name in names:
        trap(bundle.rootfs, standard / f"{name}.py")
    for name in ("encodings", "json", "collections", "importlib", "ctypes", "re"):
        trap(bundle.rootfs, standard / name / "__init__.py")
    for path in (standard / "encodings").glob("*.py"):
        trap(bundle.rootfs, path)
    for module in (package, ocicommon):
        root = Path(module.__file__).parent
        for path in root.rglob("*.py"):
            trap(bundle.rootfs, path)
    (bundle.rootfs / "etc" / "ld.so.preload").write_text("/evil.so\n")
    (bundle.rootfs / "etc" / "nsswitch.conf").write_text("passwd: evil\ngroup: evil\n")


def trap(root, path):
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(TRAP)


@pytest.fixture
def trapped(bundle):
    set_traps(bundle)
    yield bundle
    sprung = bundle.rootfs / "sprung"
    assert not sprung.exists(), f"the container's {sprung.read_text()} was imported"


def plain(config):
    config["process"]["args"] = ["/bin/echo", "ran"]


def by_name_as_user(config):
    plain(config)
    config["process"]["args"][0] = "echo"
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 63}


def with_odd_letters(config):
    plain(config)
    config["process"]["args"] += ["ünïcödé", "\udcff\udcfe", "日本"]
    config["process"]["env"] += ["ODD=é\udcff"]
    config["hostname"] = "hôte"


def with_hooks(config):
    plain(config)
    hook = {"path": "/bin/true", "args": ["true"]}
    config["hooks"] = {kind: [hook] for kind in ("createRuntime", "createContainer", "startContainer", "poststart")}


def with_seccomp(config):
    plain(config)
    config["process"]["noNewPrivileges"] = False
    call = {"names": ["swapon", "swapoff"], "action": "SCMP_ACT_ERRNO"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [call]}


def in_a_user_namespace(config):
    plain(config)
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]


@pytest.mark.parametrize(
    "shape", [plain, by_name_as_user, with_odd_letters, with_hooks, with_seccomp, in_a_user_namespace]
)
def test_nothing_of_the_container_is_imported(trapped, runtime, shape):
    """Python rule: an import after entering the root runs the container's code as the host's root."""
    shape(trapped.config)
    assert runtime.output(trapped).startswith("ran")


@pytest.mark.parametrize(
    "arguments", [["/bin/none"], ["none"], ["/etc/passwd"], ["/dev"], ["/bin/echo\udcff"], ["/sprung/x"]]
)
def test_nothing_of_the_container_is_imported_when_it_fails(trapped, runtime, arguments):
    """The way of an error is rarely walked, and words for errors are made late."""
    trapped.config["process"]["args"] = arguments
    trapped.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    runtime.refused(trapped)


def test_nothing_of_the_container_is_imported_by_exec(trapped, runtime):
    trapped.shell("sleep 1000")
    runtime.start(trapped)
    for options in ([], ["--user", "1000:1000"], ["--cwd", "/tmp"], ["--env", "A=é"]):
        result = runtime.call("exec", *options, "attack", "echo", "ran", "é\udcff")
        assert result.stdout.startswith("ran"), result.stderr
    for missing in ("none", "/none", "/etc/passwd"):
        assert runtime.call("exec", "attack", missing).returncode != 0


def calls_after(trace, marker):
    """The opens of the process that made the call ``marker``, from there to its next program."""
    found, owner = [], None
    for line in trace.read_text(errors="replace").splitlines():
        pid, call = line.split(None, 1)
        if owner is None and call.startswith(marker):
            owner = pid
        elif pid == owner and call.startswith("execve"):
            break
        elif pid == owner and call.startswith(("open(", "openat(", "openat2(", "connect(")):
            found.append(call)
    assert owner is not None, f"no {marker} in the trace"
    return found


@pytest.fixture
def traced(tmp_path):
    found = shutil.which("strace")
    if found is None:
        pytest.skip("needs strace")
    if subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to trace processes")
    trace = tmp_path / "trace"
    calls = "open,openat,openat2,connect,execve,execveat,pivot_root,setns"
    return trace, [found, "-f", "-o", str(trace), "-e", f"trace={calls}"]


def test_only_two_paths_are_opened_inside(trapped, runtime, traced):
    """After pivot_root: the user's home, and the program to be executed."""
    trace, prefix = traced
    plain(trapped.config)
    trapped.write()
    line = [*prefix, runtime.command, "--root", str(runtime.root), "run", "--bundle", str(trapped.path), "attack"]
    subprocess.run(line, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    opened = calls_after(trace, "pivot_root(")
    assert [call.split('"')[1] for call in opened if '"' in call] == ["/etc/passwd", "/bin/echo"]


def test_only_two_paths_are_opened_inside_by_exec(trapped, runtime, traced):
    trace, prefix = traced
    trapped.shell("sleep 1000")
    runtime.start(trapped)
    line = [*prefix, runtime.command, "--root", str(runtime.root), "exec", "attack", "/bin/true"]
    subprocess.run(line, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    lines = [line for line in trace.read_text().splitlines() if " setns(" in line]
    marker = lines[-1].split(None, 1)[1]
    opened = calls_after(trace, marker)
    assert [call.split('"')[1] for call in opened if '"' in call] == ["/etc/passwd", "/bin/true"]


def test_neither_the_environment_nor_the_directory_of_the_caller_is_imported(bundle, runtime, tmp_path):
    """PYTHONPATH, PYTHONHOME and a bundle full of modules: -I and an absolute interpreter."""
    proof = tmp_path / "sprung"
    for name in sorted(sys.stdlib_module_names | {"sitecustomize", "usercustomize", "railcar", "ocicommon"}):
        (bundle.path / f"{name}.py").write_text(f"open({str(proof)!r}, 'w').write(__name__)\n")
    bundle.config["process"]["args"] = ["/bin/echo", "ran"]
    outside = {
        "PYTHONPATH": str(bundle.path),
        "PYTHONHOME": "/nowhere",
        "PYTHONSTARTUP": str(bundle.path / "site.py"),
        "PYTHONINSPECT": "1",
        "PYTHONUSERBASE": str(bundle.path),
        "LD_LIBRARY_PATH": "/opt/containerd/lib:",
    }
    assert runtime.output(bundle, env=outside, cwd=bundle.path) == "ran\n"
    bundle.shell("sleep 1000")
    bundle.write()
    for arguments in (["state", "none"], ["list"], ["delete", "--force", "none"], ["kill", "none", "KILL"]):
        runtime.call(*arguments, env=outside, cwd=bundle.path)
    assert not proof.exists()


@pytest.mark.parametrize("closed", [[0], [0, 2], [2]])
def test_closed_standard_streams_are_not_taken_by_the_hosts_files(bundle, runtime, host, closed):
    """A file that is opened first gets the free number, and the container would find it as its standard input."""
    bundle.config["process"]["args"] = ["/bin/ls", "-l", "/proc/self/fd"]
    bundle.write()
    code = "import os, sys\nfor fd in map(int, sys.argv[1].split()): os.close(fd)\nos.execv(sys.argv[2], sys.argv[2:])"
    line = [sys.executable, "-c", code, " ".join(map(str, closed)), runtime.command, "--root", str(runtime.root)]
    result = subprocess.run(
        [*line, "run", "--bundle", str(bundle.path), "attack"], capture_output=True, text=True, timeout=120, check=False
    )
    targets = [entry.split(" -> ")[1] for entry in result.stdout.splitlines() if " -> " in entry]
    harmless = ("/dev/null", "pipe:", "/proc/", "/dev/pts", "socket:")
    assert [target for target in targets if not target.startswith(harmless)] == []


@pytest.mark.parametrize("kind", ["fifo", "zero", "directory", "huge", "loop", "socket"])
def test_a_strange_passwd_neither_blocks_nor_fills_memory(bundle, runtime, kind):
    """The one file that is read inside is the container's."""
    passwd = bundle.rootfs / "etc" / "passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "zero":
        os.mknod(passwd, 0o020666, os.makedev(1, 5))
    elif kind == "directory":
        passwd.mkdir()
    elif kind == "huge":
        with passwd.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "loop":
        passwd.symlink_to("passwd")
    else:
        os.mknod(passwd, 0o140666)
    bundle.config["process"]["args"] = ["/bin/echo", "ran"]
    assert runtime.output(bundle) == "ran\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "huge", "loop", "empty"])
def test_a_strange_program_is_refused_in_a_sentence(bundle, runtime, kind):
    program = bundle.rootfs / "bin" / "program"
    if kind == "fifo":
        os.mkfifo(program, 0o777)
    elif kind == "directory":
        program.mkdir()
    elif kind == "huge":
        with program.open("wb") as file:
            file.truncate(1 << 40)
        program.chmod(0o755)
    elif kind == "loop":
        program.symlink_to("program")
    else:
        program.touch(0o755)
    bundle.config["process"]["args"] = ["/bin/program"]
    assert "/bin/program" in runtime.refused(bundle)
