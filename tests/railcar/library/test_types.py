"""The package is typed: what users write is checked, by mypy where there is one, and runs as it is written."""

import importlib.resources
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typed_program.py")


def test_the_wheel_says_that_it_is_typed():
    for package in ("railcar", "ocicommon"):
        assert (importlib.resources.files(package) / "py.typed").is_file()


def test_the_typed_program_runs(bundle, tmp_path):
    argv = [sys.executable, str(PROGRAM), str(bundle), str(tmp_path / "state")]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    refused, said = done.stdout.splitlines()
    assert "not running" in refused
    assert said == "True b'in' ['typed'] typed True 137 ()"


def mypy(program, tmp_path):
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(tmp_path), str(program)]
    return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy beside the installed package")
def test_a_type_checker_is_content_and_finds_what_is_wrong(tmp_path):
    done = mypy(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import railcar\nrailcar.Container.create(3)\nrailcar.Container('x').wait('now')\nrailcar.nothing\n"
    )
    found = mypy(wrong, tmp_path).stdout.splitlines()
    assert [line.split(":")[1] for line in found if ": error:" in line] == ["2", "3", "4"], found
