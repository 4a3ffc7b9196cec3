"""A small container to attack from, and what must be true of the host afterwards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
]
APPLETS = """
sh cat ls echo sleep true false env id pwd touch mkdir stat grep readlink head mount kill test ln rm
"""
GROUP = f"railcar-test-{os.getpid()}"
TIMEOUT = 120
LEAKED = (3, 4, 7, 20, 21, 60)
LEAK = f"""
import os, sys
directory = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
for number in {LEAKED}:
    if number != directory:
        os.dup2(directory, number)
os.set_inheritable(directory, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


def configuration() -> dict[str, Any]:
    """A config.json like an engine writes it, for /bin/true."""
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "attacker",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": list(quiet)},
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
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*quiet, "mode=1777"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


class Bundle:
    """A bundle with a rootfs of busybox; ``config`` is written out by each use."""

    def __init__(self, path: Path, busybox: Path) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc", "vol"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy2(busybox, self.rootfs / "bin" / "busybox")
        for name in APPLETS.split():
            (self.rootfs / "bin" / name).symlink_to("busybox")
        (self.rootfs / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
        self.config = configuration()
        self.config["linux"]["cgroupsPath"] = f"/{GROUP}-{path.parent.name}"

    def shell(self, script: str) -> None:
        self.config["process"]["args"] = ["/bin/sh", "-c", script]

    def mount(self, destination: str) -> dict[str, Any]:
        """The mount entry of this destination."""
        [found] = [entry for entry in self.config["mounts"] if entry["destination"] == destination]
        return found

    def without_mount(self, *destinations: str) -> None:
        self.config["mounts"] = [m for m in self.config["mounts"] if m["destination"] not in destinations]

    def write(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.config))


class Runtime:
    """The installed railcar with a root of its own."""

    def __init__(self, command: Path, root: Path) -> None:
        self.command = str(command)
        self.root = root

    def call(self, *arguments: str, leaking: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call railcar; standard output and error as text. It inherits a ``leaking`` directory as LEAKED."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        prefix = [sys.executable, "-c", LEAK, str(leaking)] if leaking else []
        return subprocess.run(
            [*prefix, self.command, "--root", str(self.root), *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=TIMEOUT,
            check=False,
            **options,
        )

    def run(self, bundle: Bundle, name: str = "attack", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a bundle in the foreground, to its end."""
        bundle.write()
        return self.call("run", "--bundle", str(bundle.path), name, **options)

    def output(self, bundle: Bundle, name: str = "attack", **options: Any) -> str:
        """What the container printed; it must have ended well."""
        result = self.run(bundle, name, **options)
        assert result.returncode == 0, result.stderr or result.stdout
        return result.stdout

    def start(self, bundle: Bundle, name: str = "attack") -> int:
        """Create and start in the background with no output; returns the host's pid."""
        bundle.write()
        # The container keeps the streams of create: none of them may be a pipe that somebody waits for.
        told = self.root.parent / "told"
        for arguments in (["create", "--bundle", str(bundle.path), name], ["start", name]):
            with told.open("wb") as stream:
                done = subprocess.run(
                    [self.command, "--root", str(self.root), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stream,
                    timeout=TIMEOUT,
                    check=False,
                )
            assert done.returncode == 0, told.read_text()
        return int(json.loads(self.call("state", name).stdout)["pid"])

    def create(self, bundle: Bundle, name: str = "attack") -> tuple[int, str]:
        """Create what is written, with streams that nobody waits for: (exit code, what was said)."""
        told = self.root.parent / "told"
        with told.open("wb") as stream:
            done = subprocess.run(
                [self.command, "--root", str(self.root), "create", "--bundle", str(bundle.path), name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                timeout=TIMEOUT,
                check=False,
            )
        return done.returncode, told.read_text(errors="replace")

    def refused(self, bundle: Bundle, name: str = "attack") -> str:
        """Run a bundle that must not start: one sentence, nothing left; returns the sentence."""
        before = left_behind(bundle.path.parent)
        result = self.run(bundle, name)
        assert result.returncode != 0, result.stdout
        assert "Traceback" not in result.stderr
        assert result.stderr.strip()
        assert self.names() == []
        assert left_behind(bundle.path.parent) == before
        return result.stderr.strip()

    def names(self) -> list[str]:
        """Containers that the root knows."""
        return sorted(entry.name for entry in self.root.iterdir()) if self.root.exists() else []

    def clean(self) -> None:
        for name in self.names():
            self.call("delete", "--force", name)


def left_behind(place: Path) -> tuple[list[str], list[str]]:
    """The host's mounts that have to do with this test's directory, and the control groups of these tests."""
    with open("/proc/self/mountinfo") as table:
        mounts = [line for line in table if str(place) in line]
    groups = [
        os.path.join(group, entry)
        for group, entries, _ in os.walk("/sys/fs/cgroup")
        for entry in entries
        if entry.startswith(GROUP)
    ]
    return mounts, groups
