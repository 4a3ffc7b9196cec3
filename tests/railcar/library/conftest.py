"""Programs that use the library, each in a process of its own, and the bundle they make containers of."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import railcar as package

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")


@pytest.fixture
def bundle(tmp_path):
    """A bundle of busybox whose program prints ``ready`` and waits; no cgroup path, so that several can run at once."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not BUSYBOX:
        pytest.skip("needs busybox")
    rootfs = tmp_path / "bundle/rootfs"
    (rootfs / "bin").mkdir(parents=True)
    for folder in ("proc", "dev", "tmp"):
        (rootfs / folder).mkdir()
    shutil.copy(BUSYBOX, rootfs / "bin/busybox")
    for name in ("sh", "cat", "true"):
        (rootfs / "bin" / name).symlink_to("busybox")
    os.mkfifo(rootfs / "wait")
    config = {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read x < /wait; done"],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }
    (tmp_path / "bundle/config.json").write_text(json.dumps(config))
    return tmp_path / "bundle"


@pytest.fixture
def program(bundle, tmp_path):
    """Runs a Python text with ``bundle`` and ``root`` set; gives its output, and leaves no container."""
    root = tmp_path / "state"
    (tmp_path / "run").mkdir()

    def run(text):
        script = tmp_path / "program.py"
        head = f"import railcar, os, subprocess\nbundle = {str(bundle)!r}\nroot = {str(root)!r}\n"
        script.write_text(head + textwrap.dedent(text))
        # Files and no pipes: a container that a failure left would hold those open.
        output, errors = tmp_path / "output", tmp_path / "errors"
        with output.open("w") as out, errors.open("w") as err:
            argv = [sys.executable, str(script)]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=150, check=False)
        assert done.returncode == 0, output.read_text() + errors.read_text()
        return output.read_text()

    yield run
    for container in package.Container.all(root):
        container.delete(force=True)
    package.shutdown()
