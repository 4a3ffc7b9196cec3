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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 180
# For a mount namespace of an engine's own, in a directory $1: cgroup mounts are taken over by themselves. What was left
# beside them on their tmpfs looks like further hierarchies to podman, and what podman makes there would be left behind.
OWN_CGROUPS = """
if [ "$(stat -fc %T /sys/fs/cgroup)" = tmpfs ]; then
    mkdir -p $1/cgroup && mount -t tmpfs cgroup $1/cgroup
    for at in $(awk '$2 ~ "^/sys/fs/cgroup/" { print $2 }' /proc/self/mounts); do
        mkdir $1/cgroup/${at##*/} && mount --bind $at $1/cgroup/${at##*/}
    done
    umount --lazy --recursive /sys/fs/cgroup && mount --move $1/cgroup /sys/fs/cgroup
fi
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition to be true; its value. Fails, saying what was waited for, when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.1)
    return value


class Engine:
    """An engine's command line. `host` is the process whose network containers call the host's.

    It works in a `directory` of the test's own, where conmon leaves a file when a container runs out of memory.
    """

    def __init__(self, argv: list[str], environment: dict[str, str], directory: Path, host: int | str = "self") -> None:
        self.argv, self.environment, self.directory, self.host, self.count = argv, environment, directory, host, 0

    def __call__(self, *arguments: str | Path, **keywords: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.argv, *map(str, arguments)],
            env=self.environment,
            cwd=self.directory,
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
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=engine.environment,
        cwd=engine.directory,
        start_new_session=True,
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


@contextmanager
def held(place: Path, network: bool = True, binds: dict[Path, str] | None = None) -> Iterator[int]:
    """The pid of a process with a mount namespace (and a network) of its own, where `place`/shared is shared.

    `binds`: files to put over others there.
    """
    (place / "shared").mkdir(exist_ok=True)
    lines = ["mount --make-rprivate /", OWN_CGROUPS, f"mount --bind {place}/shared {place}/shared"]
    lines += [f"mount --make-shared {place}/shared", "if [ $0 = net ]; then ip link set lo up; fi"]
    lines += [f"mount --bind {source} {target}" for source, target in (binds or {}).items()]
    lines += ["echo ready", "exec sleep infinity"]
    argv = ["unshare", "--mount", *(["--net"] if network else []), "sh", "-ec", "\n".join(lines)]
    holder = subprocess.Popen([*argv, "net" if network else "host", place], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("no mount or network namespace can be had here")
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


def entered(holder: int, place: Path) -> list[str]:
    """What to put before a command that shall run in the namespaces of `held`, in a directory."""
    return ["nsenter", "--target", str(holder), "--mount", "--net", "sh", "-c", 'cd "$0" && exec "$@"', str(place)]


def clear(place: Path) -> None:
    """Remove an engine's directory, with all that is still mounted below it."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if str(place) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)
