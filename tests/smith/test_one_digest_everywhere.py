"""The same input gives the same digest on another filesystem, with other processors, folders in another order, and on
another Python."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a tmpfs, with no other user's files."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    if not any(words[1:3] == ["/dev/shm", "tmpfs"] for words in mounts) or not os.access("/dev/shm", os.W_OK):
        pytest.skip("no tmpfs at /dev/shm")
    folder = Path("/dev/shm") / f"smith-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def digest(folder: Path) -> str:
    index = json.loads((folder / "out/index.json").read_text())
    return str(index["manifests"][0]["digest"])


@pytest.fixture
def project(run_smith: Any) -> Path:
    """Enough for several blocks of compression, and a rootfs/ of many files."""
    folder: Path = run_smith.folder
    run_smith.yaml("cmd: [/none]\n")
    (folder / "rootfs/many").mkdir(parents=True)
    for number in range(200):
        (folder / f"rootfs/many/{number}").write_text(str(number) * 50)
    (folder / "rootfs/big").write_bytes(b"".join(b"%d " % number for number in range(600_000)))
    return folder


@pytest.fixture
def expected(project: Path, run_smith: Any) -> str:
    run_smith("-i", "out")
    return digest(project)


def test_on_a_tmpfs(project: Path, run_smith: Any, expected: str, memory: Path) -> None:
    shutil.copytree(project / "rootfs", memory / "rootfs")
    shutil.copy(project / "smith.yaml", memory)
    more = {"TMPDIR": str(memory), "XDG_CACHE_HOME": str(memory / "cache")}
    run_smith("-d", str(memory), "-i", str(memory / "out"), **more)
    assert digest(memory) == expected


def test_with_folders_in_another_order(project: Path, run_smith: Any, expected: str, memory: Path) -> None:
    # a tmpfs lists what was made last first
    orders = []
    for name, step in (("up", 1), ("down", -1)):
        many = memory / name / "rootfs/many"
        many.mkdir(parents=True)
        for number in range(200)[::step]:
            shutil.copy(project / f"rootfs/many/{number}", many)
        shutil.copy(project / "rootfs/big", many.parent)
        orders.append(os.listdir(many))
        shutil.copy(project / "smith.yaml", memory / name)
        run_smith("-d", str(memory / name), "-i", str(memory / name / "out"), XDG_CACHE_HOME=str(memory / name / "c"))
        assert digest(memory / name) == expected
    assert orders[0] != orders[1]


def test_on_one_processor(project: Path, run_smith: Any, expected: str, tool: Callable[[str], str]) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor only")
    shutil.rmtree(project / "out")
    one = str(min(os.sched_getaffinity(0)))
    command = [tool("taskset"), "-c", one, str(run_smith.command), "-i", "out"]
    environment = {**run_smith.environment, "XDG_CACHE_HOME": str(project / "other")}
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    assert digest(project) == expected


def test_on_another_python(project: Path, run_smith: Any, expected: str) -> None:
    other = os.environ.get("SMITH_TEST_PYTHON")
    if not other:
        pytest.skip("SMITH_TEST_PYTHON names no other interpreter that has smith installed")
    version = subprocess.run(
        [other, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=True
    )
    assert version.stdout.strip() != sys.version
    shutil.rmtree(project / "out")
    environment = {**run_smith.environment, "XDG_CACHE_HOME": str(project / "other")}
    environment |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    subprocess.run([other, "-m", "smith", "-i", "out"], cwd=project, env=environment, check=True, capture_output=True)
    assert digest(project) == expected


@pytest.mark.root
@pytest.mark.parametrize("full", ["out", "cache", "tmp"])
def test_a_full_filesystem_is_one_sentence_and_leaves_nothing(
    project: Path, run_smith: Any, full: str, tool: Callable[[str], str]
) -> None:
    (project / "rootfs/noise").write_bytes(os.urandom(3_000_000))
    for name in ("out", "cache", "tmp"):
        (project / name).mkdir(exist_ok=True)
    script = (
        f"mount -t tmpfs -o size=1m none {full} && {{ [ {full} != out ] || echo old >out/image.tar; }} && "
        f"XDG_CACHE_HOME=$PWD/cache TMPDIR=$PWD/tmp {run_smith.command} -i out/image.tar; "
        f"echo code $?; find out -type f -exec sh -c 'echo {{}}; [ $(stat -c %s {{}}) -gt 99 ] || cat {{}}' \\;; "
        f"find tmp cache/smith/tmp -type f"
    )
    done = subprocess.run(
        [tool("unshare"), "-m", "sh", "-c", script],
        cwd=project,
        env=run_smith.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "permission denied" in done.stderr.lower() and "code" not in done.stdout:
        pytest.skip("this root may not mount")
    if full == "tmp":
        # nothing that grows is written there
        assert "code 0" in done.stdout, done.stderr
        return
    assert "code 1" in done.stdout, done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    assert "No space left on device" in sentence
    assert full in sentence
    assert done.stdout.split("\n")[1:] == (["out/image.tar", "old", ""] if full == "out" else [""])
