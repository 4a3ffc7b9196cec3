"""Containers that try to get out, run by the installed railcar. All of it needs root and a static busybox."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attack_support import Bundle, Runtime

SOURCES = Path(__file__).parent / "attack_support"


@pytest.fixture(scope="session")
def busybox() -> Path:
    for place in ("/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"):
        path = Path(place)
        if path.exists() and b"/ld-linux" not in path.read_bytes()[:4096]:
            return path
    pytest.skip("needs a statically linked busybox (busybox-static)")


@pytest.fixture
def bundle(tmp_path: Path, busybox: Path) -> Bundle:
    return Bundle(tmp_path / "bundle", busybox)


@pytest.fixture
def other_bundle(tmp_path: Path, busybox: Path) -> Bundle:
    return Bundle(tmp_path / "other" / "bundle", busybox)


@pytest.fixture
def runtime(tmp_path: Path, railcar: Path) -> Iterator[Runtime]:
    made = Runtime(railcar, tmp_path / "state")
    yield made
    made.clean()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A helper program, statically linked, from its source."""
    place = tmp_path_factory.mktemp("programs")

    def build(name: str) -> Path:
        program = place / name
        if program.exists():
            return program
        for compiler in ("musl-gcc", "gcc", "cc"):
            found = shutil.which(compiler)
            if found is None:
                continue
            source = SOURCES / f"{name}.c"
            result = subprocess.run([found, "-static", "-O1", "-o", program, source], capture_output=True, check=False)
            if result.returncode == 0:
                return program
        pytest.skip("needs a C compiler that links statically (musl-tools, or gcc and libc6-dev)")

    return build


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host that no container may change; its one file must stay as it is."""
    place = tmp_path / "host"
    place.mkdir()
    (place / "secret").write_text("host secret\n")
    return place


@pytest.fixture
def untouched(host: Path) -> Callable[[], bool]:
    def check() -> bool:
        return [path.name for path in host.rglob("*")] == ["secret"] and (
            host / "secret"
        ).read_text() == "host secret\n"

    return check
