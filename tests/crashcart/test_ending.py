"""The end of what a session leaves, and a supervisor that was taken over: no luck, no hanging, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from crashcart import ending, report
from crashcart.errors import CrashcartError
from crashcart.session import Session

ORPHANS = """
import os, signal, sys
from crashcart import ending
from ocicommon.linux import process
process.set_child_subreaper(True)
told, tell = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            os.write(tell, b"%d " % os.getpid())
            signal.pause()
        os._exit(0)
pids = b""
while pids.count(b" ") < 3:
    pids += os.read(told, 100)
ending.end_children(-1)
for pid in pids.split():
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        continue
    sys.exit("left")
"""


def test_children_are_found_without_a_procfs() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_numbers_are_given_out_ascending_and_from_the_start_again() -> None:
    assert list(ending.given_out(4, 8)) == [5, 6, 7]
    assert list(ending.given_out(4, 5)) == []
    assert list(ending.given_out(8, 4, most=10)) == [9, 10, 1, 2, 3]


class _Target:
    class container:  # noqa: N801
        @staticmethod
        def describe() -> str:
            return "docker web"

    @staticmethod
    def check() -> None:
        """It has not ended."""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session that listens, and has no process to kill."""

    class Streams:
        terminal = True

    class Plan:
        guarded = True
        streams = Streams

    made = Session(_Target, Plan)  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_kill", lambda: None)
    return made


@pytest.mark.parametrize(
    "message",
    [b"failed", b"failed x", b"failed 999 text", b"failed -1", b"ended", b"ended 1e3", b"ended 256", b"step \xff"],
)
def test_message_that_makes_no_sense_ends_the_session_in_one_sentence(
    message: bytes, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crashcart.session.receive_fds", lambda _control: (message, []))
    session.control = None  # type: ignore[assignment]
    session._hear()
    with pytest.raises(CrashcartError, match="the session of docker web was taken over from inside"):
        session._result()


def test_descriptor_that_is_no_terminal_is_not_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr("crashcart.session.receive_fds", lambda _control: (b"terminal", [read]))
    session.control = None  # type: ignore[assignment]
    session._hear()
    os.close(write)
    assert session.master == -1
    with pytest.raises(CrashcartError, match="taken over"):
        session._result()
    with pytest.raises(OSError):  # it was closed
        os.fstat(read)


def test_message_of_a_container_cannot_steer_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    report.say("web\x1b]0;owned\x07\r\x9b2J")
    assert capfd.readouterr().err == "crashcart: web?]0;owned???2J\n"
