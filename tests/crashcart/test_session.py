"""A session's streams, terminal, signals and end; every step waits for a word from the other side."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]


@pytest.fixture
def start(crashcart: Path, image: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a session with pipes and leaves it running."""

    def popen(container: support.Container, *command: str, **keywords: object) -> subprocess.Popen[bytes]:
        words = [str(crashcart), "-i", str(image), "--root", str(container.state), container.id, *command]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords}
        return subprocess.Popen(words, **streams)  # type: ignore[call-overload,no-any-return]

    return popen


Start = Callable[..., subprocess.Popen[bytes]]


class Terminal:
    """The user's side of a terminal: what came so far, and waiting for a word in it."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.process = process
        self.seen = b""

    def expect(self, word: bytes) -> None:
        """Read until ``word`` has come since the last one that was waited for."""

        def found() -> bool:
            if word not in self.seen:
                try:
                    self.seen += os.read(self.master, 4096)
                except BlockingIOError:
                    return False
                except OSError:
                    raise AssertionError(f"the terminal was closed before {word!r}: {self.seen!r}") from None
            return word in self.seen

        support.until(found, f"no {word!r} on the terminal")
        self.seen = self.seen.split(word, 1)[1]

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def end(self) -> int:
        """The exit code; what is still written is read away meanwhile."""

        def ended() -> bool:
            try:
                self.seen += os.read(self.master, 4096)
            except (BlockingIOError, OSError):
                pass
            return self.process.poll() is not None

        support.until(ended, "the session does not end")
        return self.process.returncode


@contextmanager
def terminal(crashcart: Path, image: Path, container: support.Container, *command: str) -> Iterator[Terminal]:
    """A session on a terminal of 33 rows and 101 columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 33, 101, 0, 0))
    words = [str(crashcart), "-i", str(image), "--root", str(container.state), container.id, *command]
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    os.set_blocking(master, False)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_streams_are_passed_and_kept_apart(containers: Containers, enter: Enter) -> None:
    done = enter(containers(), "sh", "-c", "cat; echo bad >&2", input="good\n")
    assert (done.stdout, done.stderr, done.returncode) == ("good\n", "bad\n", 0)


def test_large_output_arrives_whole(containers: Containers, enter: Enter) -> None:
    text = "0123456789abcde\n" * 40000
    done = enter(containers(), "cat", input=text)
    assert done.stdout == text


def test_exit_code_is_the_commands_and_128_and_n_for_a_signal(containers: Containers, enter: Enter) -> None:
    container = containers()
    assert enter(container, "sh", "-c", "exit 42").returncode == 42
    assert enter(container, "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


def test_reader_that_goes_away_does_not_hang_the_session(containers: Containers, start: Start) -> None:
    with start(containers(), "yes") as session:
        assert session.stdout is not None
        assert session.stdout.read(2) == b"y\n"
        session.stdout.close()
        assert session.wait(timeout=support.DEADLINE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("name", ["TERM", "QUIT", "INT", "HUP", "USR1", "USR2"])
def test_signal_is_passed_on(name: str, containers: Containers, start: Start) -> None:
    script = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do read line; done"
    with start(containers(), "sh", "-c", script) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == b"ready\n"
        session.send_signal(getattr(signal, f"SIG{name}"))
        # The shell acts on the signal when its read returns.
        assert session.stdin is not None
        session.stdin.write(b"\n")
        session.stdin.flush()
        assert session.stdout.readline() == f"got {name}\n".encode()
        assert session.wait(timeout=support.DEADLINE) == 5


def test_children_left_in_the_background_end_with_the_session(containers: Containers, enter: Enter) -> None:
    script = "(sleep 100000 & sleep 100000 & ) ; sh -c 'sleep 100000 &' ; echo left"
    done = enter(containers(), "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "left\n")


def test_two_sessions_at_once_end_in_either_order(containers: Containers, start: Start) -> None:
    container = containers()
    for first_ends_first in (True, False):
        with start(container, "sh", "-c", "echo up; cat") as one, start(container, "sh", "-c", "echo up; cat") as two:
            for session in (one, two):
                assert session.stdout is not None
                assert session.stdout.readline() == b"up\n"
            for session in (one, two) if first_ends_first else (two, one):
                assert session.stdin is not None
                session.stdin.close()
                assert session.wait(timeout=support.DEADLINE) == 0


def test_terminal_is_the_containers_with_the_users_size(crashcart: Path, image: Path, containers: Containers) -> None:
    with terminal(crashcart, image, containers(), "sh", "-c", "tty; stty size; exit 3") as session:
        session.expect(b"/dev/pts/0")
        session.expect(b"33 101")
        assert session.end() == 3


def test_terminal_follows_the_users_size(crashcart: Path, image: Path, containers: Containers) -> None:
    script = "trap 'echo now $(stty size)' WINCH; echo ready; while read line; do echo got $line; done"
    with terminal(crashcart, image, containers(), "sh", "-c", script) as session:
        session.expect(b"ready")
        fcntl.ioctl(session.master, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
        session.process.send_signal(signal.SIGWINCH)
        session.send(b"line\r")
        session.expect(b"now 50 132")
        session.send(b"\x04")
        assert session.end() == 0


def test_interrupt_of_the_terminal_reaches_the_command(crashcart: Path, image: Path, containers: Containers) -> None:
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    with terminal(crashcart, image, containers(), "sh", "-c", script) as session:
        session.expect(b"ready")
        session.send(b"\x03")
        session.expect(b"interrupted")
        assert session.end() == 9


def test_terminal_of_the_user_is_as_before(crashcart: Path, image: Path, containers: Containers) -> None:
    with terminal(crashcart, image, containers(), "sh", "-c", "echo ready; read x; exit 0") as session:
        session.expect(b"ready")
        raw = termios.tcgetattr(session.master)
        assert not raw[3] & termios.ECHO
        session.send(b"\r")
        assert session.end() == 0
        assert termios.tcgetattr(session.master)[3] & termios.ECHO


def test_shell_is_started_without_a_command(crashcart: Path, image: Path, containers: Containers) -> None:
    with terminal(crashcart, image, containers()) as session:
        session.send(b"echo $((6 * 7))x; exit 4\r")
        session.expect(b"42x")
        assert session.end() == 4
