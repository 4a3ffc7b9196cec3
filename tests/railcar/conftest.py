"""Bundles of busybox, and a railcar of the test's own, which must leave the machine as it was."""

import copy
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORDS = """sh cat cp echo env false grep head hostname id ifconfig kill ls mkdir mkfifo mount nc ps pwd readlink rm sed
sleep sort stat test touch tr true umount uname wc yes"""
APPLETS = WORDS.split()
ALLOWED = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT
KILL AUDIT_WRITE"""
CAPABILITIES = [f"CAP_{name}" for name in ALLOWED.split()]
MINIMAL: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"], "args": ["/bin/true"]},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
}
_FLAGS = ["nosuid", "noexec", "nodev"]
DOCKER_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": _FLAGS},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_FLAGS, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*_FLAGS, "ro"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _FLAGS},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_FLAGS, "mode=1777", "size=67108864"]},
]


def docker_like() -> dict[str, Any]:
    """What docker asks for, but for its network and its seccomp profile (which is the `seccomp` fixture's)."""
    config = copy.deepcopy(MINIMAL)
    config["process"]["capabilities"] = {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")}
    config["mounts"] = copy.deepcopy(DOCKER_MOUNTS)
    config["hostname"] = "container"
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["linux"]["maskedPaths"] = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
    config["linux"]["readonlyPaths"] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"]
    config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}], "pids": {"limit": 100}}
    config["linux"]["resources"]["devices"] += [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))
    ]
    return config


class Bundle:
    """A bundle on disk: change `config`, then `write`."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config
        self.write()

    @property
    def rootfs(self) -> Path:
        return self.path / "rootfs"

    def write(self) -> "Bundle":
        (self.path / "config.json").write_text(json.dumps(self.config))
        return self


class Runner:
    """railcar with a root directory of its own. Ids are unique, so that what is left can be told to be ours."""

    def __init__(self, command: Path, root: Path) -> None:
        self.command, self.root = command, root
        self.prefix = f"railcar-test-{uuid.uuid4().hex[:10]}"
        self.count = 0

    def id(self) -> str:
        self.count += 1
        return f"{self.prefix}-{self.count}"

    def argv(self, *arguments: str | Path) -> list[str]:
        return [str(self.command), "--root", str(self.root), *map(str, arguments)]

    def __call__(self, *arguments: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """Run a command, with its output as text: through files, which a container that stays may keep open."""
        if "input" not in keywords:
            keywords.setdefault("stdin", subprocess.DEVNULL)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            argv = self.argv(*arguments)
            done = subprocess.run(argv, stdout=out, stderr=errors, text=True, timeout=120, check=False, **keywords)
            out.seek(0)
            errors.seek(0)
            done.stdout, done.stderr = out.read().decode(), errors.read().decode()
        return done

    def ok(self, *arguments: str | Path, **keywords: Any) -> str:
        """Run a command that must succeed; its standard output."""
        done = self(*arguments, **keywords)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def quiet(self, *arguments: str | Path) -> None:
        """Run a command that must succeed, with streams that a restore can hand on: files of a test have no name."""
        null = subprocess.DEVNULL
        subprocess.run(self.argv(*arguments), stdin=null, stdout=null, stderr=null, timeout=120, check=True)

    def out(self, bundle: Bundle, *options: str, **keywords: Any) -> str:
        """What the bundle's program says in a foreground run that must succeed."""
        return self.ok("run", *options, "--bundle", bundle.path, self.id(), **keywords)

    def state(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ok("state", name))
        return found

    def wait(self, name: str, status: str) -> None:
        """Until the container has this status."""
        until(lambda: self.state(name)["status"] == status)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition to be true; its value. Fails when it never is."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail("waited in vain")
        time.sleep(0.01)


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


def _busybox() -> str:
    """A statically linked busybox."""
    path = shutil.which("busybox")
    if not path:
        pytest.skip("busybox is not installed")
    if b"ld-linux" in Path(path).read_bytes()[:4096]:
        pytest.skip("busybox is not statically linked (Debian: package busybox-static)")
    return path


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may pass through, unlike tmp_path."""
    directory = Path(tempfile.mkdtemp(prefix="railcar-test-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def bundle(place: Path) -> Callable[..., Bundle]:
    """Makes bundles: bundle("sh", "-c", "...", docker=True) runs that; further keywords replace parts of `process`."""

    def make(*args: str, docker: bool = False, **process: Any) -> Bundle:
        path = place / f"bundle-{uuid.uuid4().hex[:8]}"
        root = path / "rootfs"
        for directory in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            (root / directory).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        shutil.copy2(_busybox(), root / "bin/busybox")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root-home:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        config = docker_like() if docker else copy.deepcopy(MINIMAL)
        if args:
            config["process"]["args"] = list(args)
        config["process"] |= process
        return Bundle(path, config)

    return make


@pytest.fixture
def runner(railcar: Path, tmp_path: Path) -> Iterator[Runner]:
    """A railcar of the test's own; afterwards nothing of it may be left: mounts, cgroups, processes, state."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make containers")
    made = Runner(railcar, tmp_path / "state")
    yield made
    for name in sorted(os.listdir(made.root)) if made.root.exists() else []:
        made("delete", "--force", name)
    assert not made.root.exists() or os.listdir(made.root) == []
    assert leftovers(made) == []


def leftovers(runner: Runner) -> list[str]:
    """Cgroups, mounts and processes that bear the runner's names."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if runner.prefix in line]
    for directory, names, _ in os.walk("/sys/fs/cgroup", onerror=lambda error: None):
        found += [f"{directory}/{name}" for name in names if runner.prefix in name]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if runner.prefix.encode() in command or str(runner.root).encode() in command:
            found.append(f"{process.name}: {command!r}")
    return found


@pytest.fixture
def working_criu() -> str:
    path = shutil.which("criu")
    if not path:
        pytest.skip("criu is not installed")
    if os.geteuid() != 0:
        pytest.skip("criu needs root")
    checked = subprocess.run([path, "check"], capture_output=True, text=True, timeout=120, check=False)
    if checked.returncode != 0:
        pytest.skip(f"criu check: {checked.stderr.strip() or checked.stdout.strip()}")
    return path
