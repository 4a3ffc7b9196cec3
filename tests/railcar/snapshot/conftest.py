"""A copy of railcar with a snapshot of its own."""

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TAG = f"python3.{sys.version_info.minor}"


class Prefix:
    """An installation of railcar alone, below a path with a space in it."""

    def __init__(self, place: Path, command: Path) -> None:
        import ocicommon
        import railcar as package

        self.command, self.site = place / "bin/railcar", place / "lib" / TAG / "site-packages"
        self.command.parent.mkdir(parents=True)
        shutil.copy2(command, self.command)
        (self.command.parent / TAG).symlink_to(sys.executable)
        for module in (package, ocicommon):
            assert module.__file__ is not None
            source, target = Path(module.__file__).parent, self.site / module.__name__
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        self.snapshot = self.site / "railcar/__pycache__/snapshot"

    def __call__(self, *arguments: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """Run the command and take its output."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, **keywords}
        return subprocess.run([self.command, *arguments], check=False, **settings)

    def copied(self, place: Path) -> "Prefix":
        """The whole of it, with its snapshot, somewhere else."""
        shutil.copytree(self.command.parents[1], place, symlinks=True)
        other = copy.copy(self)
        other.command, other.site = place / "bin/railcar", place / "lib" / TAG / "site-packages"
        other.snapshot = other.site / "railcar/__pycache__/snapshot"
        return other

    def program(self, *arguments: str | Path) -> list[str]:
        """The program that maps the snapshot; what it executes when it goes the slow way ends with 99."""
        slow = [str(self.command.parent / TAG), "-c", "raise SystemExit(99)", *"----"]
        slow += [f"{self.site}/railcar/__main__.py"]
        return [f"{self.snapshot}/railcar", *slow, *map(str, arguments)]

    def restored(self, *arguments: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """Run a command by that program."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, **keywords}
        return subprocess.run(self.program(*arguments), check=False, **settings)


@pytest.fixture
def prefix(railcar: Path, tmp_path: Path) -> Prefix:
    """Without a snapshot yet."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a snapshot is root's alone")
    return Prefix(tmp_path / "a prefix", railcar)


@pytest.fixture
def made(prefix: Prefix) -> Prefix:
    """With a snapshot."""
    done = prefix("setup")
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return prefix


@pytest.fixture
def open_prefix(railcar: Path) -> Iterator[Prefix]:
    """With a snapshot, in a directory that every user may enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a snapshot is root's alone")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        os.chmod(place, 0o755)
        found = Prefix(Path(place) / "prefix", railcar)
        if not os.access("/usr/bin/" + TAG, os.X_OK):
            pytest.skip("the interpreter may be closed to other users")
        found.command.with_name(TAG).unlink()
        done = found("setup")
        if done.returncode:
            pytest.skip(done.stderr.strip())
        yield found
