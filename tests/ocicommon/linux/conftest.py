"""System calls that change the caller are made in a child of the test, never in pytest's own process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

PRELUDE = """
import json, os, sys
from ocicommon.linux import calls, capabilities, files, mounts, namespaces, process, terminal
from ocicommon.linux.errors import SyscallError

def done(value):
    sys.stdout.write(json.dumps(value))
    sys.stdout.flush()
    os._exit(0)

def failing(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except SyscallError as error:
        return [error.errno, str(error)]
    return None

def in_child(function):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(content) if content else ["died", status]

def private_mounts():
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount_setattr(calls.AT_FDCWD, "/", calls.AT_RECURSIVE, propagation=mounts.MS_PRIVATE)
"""


@pytest.fixture
def run_python() -> Callable[..., Any]:
    """Run a source in a fresh interpreter; what it hands to ``done`` is the result."""

    def run(source: str, *args: str) -> Any:
        result = subprocess.run(
            [sys.executable, "-c", PRELUDE + source, *args], capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stderr or f"exit code {result.returncode}"
        return json.loads(result.stdout)

    return run
