"""A bundle with busybox, its root built for real: by the rootfs package alone, or by the whole of railcar."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")

WORDS = """awk cat cp cut echo env grep head hostname id ionice ip ln ls mkdir pwd readlink sed seq sh sleep stat stty
tail test touch tr true tty uname wc"""
APPLETS = WORDS.split()

DEFAULT_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]

# Stage 1 and 2 of a container, with nothing of them but the root: for what a whole container would hide.
BUILD = """
import json, os, sys
from ocicommon.linux import namespaces, process
from railcar import rootfs
from railcar.errors import RailcarError
bundle, modern, no_pivot = sys.argv[1], sys.argv[2] != "legacy", sys.argv[3] == "move"
config = json.load(open(bundle + "/config.json"))
try:
    plan = rootfs.plan(config, bundle, no_pivot=no_pivot)
    sources = rootfs.open_sources(plan, None if modern else False)
except RailcarError as error:
    sys.exit(str(error))
kinds = [entry["type"] for entry in config["linux"]["namespaces"]]
flags = 0
for kind in kinds:
    flags |= namespaces.TYPES[kind][0]
read, write = os.pipe2(os.O_CLOEXEC)
pid, _ = process.clone3(flags)
if pid == 0:
    try:
        os.close(write)
        os.read(read, 1)
        if "user" in kinds:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        builder = rootfs.Builder(plan, sources)
        builder.mount()
        builder.enter()
        os.environ.clear()
        os.environ["PATH"] = "/bin"
        args = config["process"]["args"]
        os.execvp(args[0], args)
    except RailcarError as error:
        os.write(2, str(error).encode())
    except OSError as error:
        os.write(2, repr(error).encode())
    finally:
        os._exit(1)
if "user" in kinds:
    for kind in ("uid", "gid"):
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            for item in config["linux"][kind + "Mappings"]:
                file.write(f"{item['containerID']} {item['hostID']} {item['size']}\\n")
os.close(write)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Box:
    """A bundle: change ``config``, put files into ``root``, then ``build`` or ``run`` a shell script in it."""

    def __init__(self, directory: Path, command: Path) -> None:
        self.directory = directory
        self.command = command
        self.root = directory / "rootfs"
        self.config: dict[str, Any] = {
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "process": {
                "args": ["/bin/true"],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": {
                    kind: ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_KILL"]
                    for kind in ("bounding", "effective", "permitted")
                },
            },
            "mounts": [dict(mount) for mount in DEFAULT_MOUNTS],
            "linux": {"namespaces": [{"type": kind} for kind in ("mount", "uts", "ipc", "network", "pid")]},
        }
        (self.root / "bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, self.root / "bin/busybox")
        for name in APPLETS:
            (self.root / "bin" / name).symlink_to("busybox")

    @property
    def mounts(self) -> list[dict[str, Any]]:
        mounts: list[dict[str, Any]] = self.config["mounts"]
        return mounts

    def add(self, destination: str, kind: str = "", source: str = "", *options: str, **more: Any) -> None:
        entry = {"destination": destination, "type": kind, "source": source, "options": list(options), **more}
        self.mounts.append({key: value for key, value in entry.items() if value})

    def user_namespace(self, first: int = 100000) -> None:
        linux = self.config["linux"]
        linux["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            linux[kind] = [{"containerID": 0, "hostID": first, "size": 65536}]
        for directory, _, files in os.walk(self.root):
            for name in (".", *files):
                os.lchown(Path(directory) / name, first, first)

    def _write(self, script: str | list[str]) -> None:
        self.config["process"]["args"] = ["/bin/sh", "-c", script] if isinstance(script, str) else script
        (self.directory / "config.json").write_text(json.dumps(self.config))

    def build(
        self, script: str, *, way: str = "container", move: bool = False, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the root: of a whole container, or with nothing of railcar but the rootfs package.

        The latter by the mount interface of today ("mount-api") or the one of older kernels ("mount2").
        """
        if way == "container":
            return self.run(script, *(["--no-pivot"] if move else []), fails=fails)
        return self._done(["unshare", "-m", *self.building(script, way=way, move=move)], fails)

    def building(self, script: str, *, way: str, move: bool = False) -> list[str]:
        """The command that builds the root and runs a shell script in it."""
        self._write(script)
        words = ["legacy" if way == "mount2" else "modern", "move" if move else "pivot"]
        return [sys.executable, "-c", BUILD, str(self.directory), *words]

    def run(self, script: str | list[str], *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a shell script, or a command, as the process of a container."""
        self._write(script)
        state = ["--root", str(self.directory / "state")]
        name = self.directory.name
        return self._done([str(self.command), *state, "run", *arguments, "--bundle", str(self.directory), name], fails)

    def railcar(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Any command of railcar on this box's state directory. What is created has no streams that outlive it."""
        streams: dict[str, Any] = {"capture_output": True}
        if arguments[0] in ("create", "start"):
            streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(
            [str(self.command), "--root", str(self.directory / "state"), *arguments],
            check=check,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
            **streams,
        )

    def _done(self, command: list[str], fails: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode != 0) == fails, done
        done.stderr = done.stderr.strip()
        return done


@pytest.fixture
def box(railcar: Path) -> Iterator[Box]:
    """A bundle in a directory that every user may enter: a user namespace's root is nobody on the host."""
    if not BUSYBOX:
        pytest.skip("needs busybox (Debian: busybox-static)")
    directory = Path(tempfile.mkdtemp(prefix="railcar-rootfs-", dir="/var/tmp"))
    directory.chmod(0o755)
    made = Box(directory, railcar)
    try:
        yield made
    finally:
        for left in (directory / "state").glob("*/state.json"):
            made.railcar("delete", "--force", left.parent.name, check=False)
        shutil.rmtree(directory)
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()
    assert list(Path("/sys/fs/cgroup").glob(f"*/{directory.name}")) == []


def parse_mountinfo(text: str) -> dict[str, dict[str, str]]:
    """Mount point -> its fields, from the lines of a mountinfo that are in ``text``."""
    found = {}
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if separator and len(fields) >= 6:
            kind, source, superblock = after.split(" ", 2)
            found[fields[4]] = {
                "root": fields[3],
                "options": fields[5],
                "tags": " ".join(fields[6:]),
                "type": kind,
                "source": source,
                "superblock": superblock,
            }
    return found


@pytest.fixture
def mountinfo() -> Callable[[str], dict[str, dict[str, str]]]:
    return parse_mountinfo


@pytest.fixture
def device_numbers() -> Callable[[Path], tuple[int, int, int]]:
    """(type, major, minor) of a node on the host."""

    def look(path: Path) -> tuple[int, int, int]:
        found = path.lstat()
        return stat.S_IFMT(found.st_mode), os.major(found.st_rdev), os.minor(found.st_rdev)

    return look
