"""A misspelt key is ignored, as the specification asks, but not in silence."""

from collections.abc import Callable
from typing import Any

import pytest
from railcar import spelling


@pytest.mark.parametrize("key", ["proces", "processs", "prosess", "porcess", "Process"])
def test_a_letter_off_is_noticed(key: str) -> None:
    assert spelling.nearly(key, "process")


@pytest.mark.parametrize("key", ["process", "prcss", "x-process", "", "annotation_process"])
def test_more_than_a_letter_is_somebody_elses_key(key: str) -> None:
    assert not spelling.nearly(key, "process")


def test_known_keys_are_no_near_misses() -> None:
    assert (
        spelling.warnings({"root": {}, "mounts": [], "linux": {"devices": []}, "process": {"user": {}}, "x": 1}) == []
    )


def test_the_command_warns_and_goes_on(runner: Any, bundle: Callable[..., Any]) -> None:
    made = bundle("echo", "well")
    made.config["process"]["noNewPrivilege"] = True
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert (done.returncode, done.stdout) == (0, "well\n")
    assert 'no "process.noNewPrivilege", it is ignored: perhaps "noNewPrivileges"?' in done.stderr
