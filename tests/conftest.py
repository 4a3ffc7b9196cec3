"""What every test may use: the installed commands, and probes for what a machine may lack."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A job started in the background of a shell inherits these as ignored, and hands that on to every container of a test.
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: needs root, and skips without")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


def installed(name: str) -> Path:
    """The command as its wheel installed it, beside the interpreter that runs the tests."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.fail(f"{path} is not installed: the tests run against built wheels, by tools/test or `nox -s tests`")
    return path


@pytest.fixture(scope="session")
def railcar() -> Path:
    return installed("railcar")


@pytest.fixture(scope="session")
def crashcart() -> Path:
    return installed("crashcart")


@pytest.fixture(scope="session")
def smith() -> Path:
    return installed("smith")


@pytest.fixture(scope="session")
def other_users() -> None:
    """For tests that run the installed packages as another user: below a closed directory, such as /root, none can."""
    words = [sys.executable, "-c", "import ocicommon"]
    try:
        subprocess.run(words, user=65534, group=65534, extra_groups=[], check=True, capture_output=True, cwd="/")
    except (OSError, subprocess.SubprocessError):
        pytest.skip("another user cannot reach the installed packages: the checkout lies below a closed directory")
