"""The job disk: this checkout's tests with their environment, at the paths that they have here, and what to run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from vm.root import image

#: What of the checkout the tests read.
PARTS = ("tests", "packages/railcar/docs", "packages/railcar/README.md", "pyproject.toml")
#: Room for what tests write into the checkout, bytes.
SPARE = 256 << 20
#: Seconds for one test, before pytest-timeout ends it: an emulated processor is many times slower.
TEST = 240
#: How many containers tests/railcar/test_crowd.py makes there.
CROWD = 24


def settings(checkout: Path, environment: Path, arguments: list[str], seconds: float) -> dict[str, object]:
    """What the guest is told: where to mount the disk's trees, what to run there, and for how long."""
    pytest = [
        "env",
        f"RAILCAR_CROWD={CROWD}",
        str(environment / "bin/python"),
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--timeout={TEST}",
    ]
    return {
        "mounts": {"checkout": str(checkout), "environment": str(environment)},
        "directory": str(checkout),
        "argv": [*pytest, "--color=no", "--durations=10", "--junit-xml=/run/railcar-vm/junit.xml", *arguments],
        "seconds": seconds,
        "results": ["/run/railcar-vm/junit.xml"],
    }


def disk(checkout: Path, environment: Path, told: dict[str, object], place: Path) -> Path:
    """Make the disk below `place`; its path. Raises MachineError."""
    tree = place / "job"
    for part in PARTS:
        source, target = checkout / part, tree / "checkout" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    # Compiled here, once, and not in every guest by an emulated processor.
    subprocess.run([sys.executable, "-m", "compileall", "-q", environment / "lib"], check=False, capture_output=True)
    shutil.copytree(environment, tree / "environment", symlinks=True)
    return pack(tree, told, place)


def pack(tree: Path, told: dict[str, object], place: Path) -> Path:
    """Make the disk of a tree, which is gone then; its path. Raises MachineError."""
    (tree / "job.json").write_text(json.dumps(told))
    path = place / "job.ext4"
    image(tree, path, SPARE)
    shutil.rmtree(tree)
    return path
