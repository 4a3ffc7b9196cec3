"""An engine of a test's own: its command line, a terminal to talk to it by, and how it is cleared away."""

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 180


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition to be true; its value. Fails, saying what was waited for, when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.1)
    return value


class Engine:
    """An engine's command line. `namespaces` is the process whose network containers call the host's."""

    def __init__(self, argv: list[str], environment: dict[str, str], host: int | str = "self") -> None:
        self.argv, self.environment, self.host, self.count = argv, environment, host, 0

    def __call__(self, *arguments: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            **keywords,
        )

    def ok(self, *arguments: str | Path, **keywords: Any) -> str:
        """Run a command that must succeed; its standard output."""
        done = self(*arguments, **keywords)
        assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def name(self) -> str:
        self.count += 1
        return f"railcar-test-{os.getpid()}-{self.count}"

    def start(self, *options: str | Path, command: tuple[str, ...] = ("sleep", "1000")) -> str:
        """A container in the background; its name."""
        name = self.name()
        self.ok("run", "-d", "--name", name, "--network", "none", *options, "box", *command)
        return name

    def inspect(self, name: str, template: str) -> str:
        return self.ok("inspect", "--format", "{{" + template + "}}", name)

    def logs(self, name: str) -> str:
        done = self("logs", name)
        return done.stdout + done.stderr


def talk(engine: Engine, *arguments: str, steps: list[tuple[str, str]], size: tuple[int, int]) -> tuple[str, int]:
    """Run on a terminal: wait for each text, then type. All that was said, and the exit code.

    After the first text the terminal gets its size (rows, columns), and the engine is told until the next text comes.
    """
    ours, theirs = pty.openpty()
    argv = [*engine.argv, *arguments]
    child = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=engine.environment, start_new_session=True
    )
    os.close(theirs)
    said, start = "", 0
    deadline = time.monotonic() + PATIENCE

    def listen() -> bool:
        nonlocal said
        if select.select([ours], [], [], 0.5)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                return False
            said += piece.decode(errors="replace")
            return bool(piece)
        return True

    try:
        for turn, (wanted, typed) in enumerate(steps):
            while wanted not in said[start:]:
                assert listen(), f"it ended before it said {wanted!r}: {said}"
                assert time.monotonic() < deadline, f"it never said {wanted!r}: {said}"
                if turn:
                    child.send_signal(signal.SIGWINCH)
            start = len(said)
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.write(ours, typed.encode())
        while listen():
            assert time.monotonic() < deadline, said
        return said, child.wait(timeout=PATIENCE)
    finally:
        os.close(ours)
        if child.poll() is None:
            child.kill()
            child.wait()


def clear(place: Path) -> None:
    """Remove an engine's directory, with all that is still mounted below it."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if str(place) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)
