"""Each tool installs alone from the built wheels, and its command answers: siblings come from the same place."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".nox/house/bin/uv"
WHEELS = Path(sys.prefix) / "wheels"
TOOLS = {"ocicommon": [], "railcar": ["railcar"], "crashcart": ["crashcart"], "oci-smith": ["smith"]}


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_tool_installs_alone_from_the_wheels(name: str, tmp_path: Path) -> None:
    if not UV.exists() or not WHEELS.is_dir():
        pytest.skip("runs where `nox -s tests` made the wheels and the environment")
    place = tmp_path / "a place with spaces"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place], check=True)
    words = ["pip", "install", "--quiet", "--system-certs", "--python", str(place / "bin/python")]
    done = subprocess.run([UV, *words, "--find-links", WHEELS, name], capture_output=True, text=True, check=False)
    if "error sending request" in done.stderr or "Failed to fetch" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    version = subprocess.check_output([place / "bin/python", "-c", code, name], text=True).strip()
    for command in TOOLS[name]:
        said = subprocess.run([place / "bin" / command, "--version"], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
        assert version in said.stdout
