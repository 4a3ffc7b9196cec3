"""Who watches sees what is under way; a pipe gets the result alone."""

import errno
import os
import pty
import subprocess
from typing import Any

import pytest


@pytest.fixture
def project(run_smith: Any, make_image: Any) -> Any:
    make_image([("app", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/app]\n")
    return run_smith


def watched(project: Any, **environment: str) -> tuple[bytes, bytes]:
    """Standard output of a build, a pipe, and what its standard error wrote to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(project.command), "-i", "out.tar"],
        cwd=project.folder, env={**project.environment, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError as error:
        # What Linux says when the last writer is gone.
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(master)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, seen
    return output, seen


def test_a_terminal_shows_what_is_under_way(project: Any) -> None:
    output, seen = watched(project)
    assert b"reading layers" in seen
    assert b"\x1b[" in seen
    assert b"\x1b" not in output
    assert output.startswith(b"out.tar  sha256:")


def test_a_dumb_terminal_is_left_alone(project: Any) -> None:
    assert watched(project, TERM="dumb")[1] == b""


def test_a_pipe_gets_the_result_alone(project: Any) -> None:
    done = project("-i", "out.tar")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
