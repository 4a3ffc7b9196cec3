"""What every test may use: the installed commands, and probes for what a machine may lack."""

import os
import signal
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
