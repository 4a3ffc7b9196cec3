"""Containers of busybox for the commands that watch and change running ones."""

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

import pytest

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")

CONFIG = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", "echo ready; exec /bin/busybox cat /wait"],
        "env": ["PATH=/bin"],
        "cwd": "/",
    },
    "root": {"path": "rootfs", "readonly": False},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
        "resources": {},
    },
}


class Box:
    """One container: its bundle, its configuration (changed before ``start``), and the command on it."""

    def __init__(self, railcar: Path, directory: Path, name: str) -> None:
        self.railcar = railcar
        self.name = name
        self.root = directory / "state"
        self.bundle = directory / "bundle"
        self.config = copy.deepcopy(CONFIG)
        self.config["linux"]["cgroupsPath"] = "/" + name
        rootfs = self.bundle / "rootfs"
        (rootfs / "bin").mkdir(parents=True)
        for folder in ("proc", "dev", "tmp"):
            (rootfs / folder).mkdir()
        shutil.copy(BUSYBOX, rootfs / "bin/busybox")
        (rootfs / "bin/sh").symlink_to("busybox")
        os.mkfifo(rootfs / "wait")

    def command(self, *words: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run railcar with words; the box's own id stands as ``ID``."""
        argv = [str(self.railcar), "--root", str(self.root)]
        argv += [self.name if word == "ID" else word for word in words]
        # Files and no pipes: a container that keeps its streams would hold those open.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            given.write((text or "").encode())
            given.seek(0)
            code = subprocess.run(argv, stdin=given, stdout=out, stderr=errors, timeout=120, check=False).returncode
            out.seek(0)
            errors.seek(0)
            done = subprocess.CompletedProcess(argv, code, out.read().decode(), errors.read().decode())
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def write(self) -> None:
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def start(self, script: str | None = None) -> None:
        """Run it detached, and wait until it says that it is ready."""
        if script is not None:
            self.config["process"]["args"] = ["/bin/sh", "-c", script]
        self.write()
        output = self.bundle / "output"
        argv = [str(self.railcar), "--root", str(self.root), "run", "-d", "-b", str(self.bundle), self.name]
        with output.open("w") as file:
            done = subprocess.run(argv, stdout=file, stderr=file, stdin=subprocess.DEVNULL, timeout=120, check=False)
        assert done.returncode == 0, output.read_text()
        until(lambda: "ready" in output.read_text(), "the container says ready")

    def state(self) -> dict[str, object]:
        return json.loads(self.command("state", "ID").stdout)

    def paths(self) -> dict[str, str]:
        """The directories of its cgroup."""
        return json.loads((self.root / self.name / "state.json").read_text())["cgroup"]["paths"]


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    return until


@pytest.fixture
def box(railcar: Path, tmp_path: Path) -> Iterator[Box]:
    """A bundle, ready to be started; whatever is left of its container is removed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not BUSYBOX:
        pytest.skip("needs busybox")
    made = Box(railcar, tmp_path, f"railcar-test-{uuid.uuid4().hex[:10]}")
    yield made
    made.command("delete", "--force", "ID")
