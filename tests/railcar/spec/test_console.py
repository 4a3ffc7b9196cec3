"""Terminals: handed over a console socket, or relayed by a foreground command."""

import array
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

PATIENCE = 60.0


def read_until(fd: int, token: str, so_far: str = "") -> str:
    """Everything up to and with the token; fails when it does not come in a generous time."""
    deadline = time.monotonic() + PATIENCE
    while token not in so_far:
        left = deadline - time.monotonic()
        ready = left > 0 and select.select([fd], [], [], left)[0]
        assert ready, f"{token!r} did not come; so far: {so_far!r}"
        try:
            part = os.read(fd, 4096)
        except OSError:
            part = b""
        assert part, f"the end came before {token!r}; so far: {so_far!r}"
        so_far += part.decode()
    return so_far


def read_to_end(fd: int, so_far: str = "") -> str:
    """Everything until the other side is closed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        left = deadline - time.monotonic()
        assert left > 0, f"no end came; so far: {so_far!r}"
        if not select.select([fd], [], [], left)[0]:
            continue
        try:
            part = os.read(fd, 4096)
        except OSError:
            return so_far
        if not part:
            return so_far
        so_far += part.decode()


def set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


class Handed:
    """A container that was created with a console socket: its terminal's controlling end, and what came with it."""

    def __init__(self, box: Any, script: str, **config: Any) -> None:
        box.config["process"].update(terminal=True, **config)
        box._write(script)
        self.box, self.name = box, box.directory.name
        self.base = [str(box.command), "--root", str(box.directory / "state")]
        path = str(box.directory / "console.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(PATIENCE)
            options = ["--bundle", str(box.directory), "--console-socket", path]
            self.created = subprocess.run(
                [*self.base, "create", *options, self.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert self.created.returncode == 0, self.created
            connection, _ = listener.accept()
            with connection:
                self.payload, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4 * 8))
                self.after = connection.recv(1)
        fds = array.array("i")
        for level, kind, data in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(data)
        self.fds = list(fds)
        self.master = self.fds[0]

    def start(self) -> None:
        subprocess.run([*self.base, "start", self.name], check=True, timeout=120)

    def delete(self) -> None:
        subprocess.run([*self.base, "delete", "--force", self.name], check=True, timeout=120)
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def hand(box: Any) -> Iterator[Any]:
    made = []

    def create(script: str, **config: Any) -> Handed:
        made.append(Handed(box, script, **config))
        return made[-1]

    yield create
    for handed in made:
        handed.delete()


def test_line_046_a_console_socket_gets_one_message_with_one_descriptor(hand: Any) -> None:
    handed = hand("true")
    assert len(handed.fds) == 1
    assert handed.payload == b"/dev/pts/ptmx"
    assert handed.after == b""
    assert os.major(os.fstat(handed.master).st_rdev) == 5


def test_line_046_the_process_has_the_terminal_as_its_own(hand: Any) -> None:
    handed = hand("tty; stat -c '%t:%T' /dev/console; test -t 0 && test -t 2 && echo READY; read x; echo got:$x")
    handed.start()
    said = read_until(handed.master, "READY")
    assert said.splitlines()[0].strip() in ("/dev/pts/0", "/dev/console")
    assert "88:0" in said
    os.write(handed.master, b"hello\n")
    assert "got:hello" in read_until(handed.master, "got:hello")


def test_line_046_the_terminal_is_the_users_and_controls_the_session(hand: Any) -> None:
    handed = hand(
        "stat -c '%u:owner' /dev/pts/0; trap 'echo INTERRUPTED; exit 0' INT; echo READY; while :; do sleep 0.1; done",
        user={"uid": 77, "gid": 88},
    )
    handed.start()
    assert "77:owner" in read_until(handed.master, "READY")
    os.write(handed.master, b"\x03")
    read_until(handed.master, "INTERRUPTED")


def test_line_047_the_size_is_set_before_the_terminal_is_handed_out(hand: Any) -> None:
    handed = hand("stty size; echo DONE", consoleSize={"height": 37, "width": 111})
    assert struct.unpack("4H", fcntl.ioctl(handed.master, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (37, 111)
    handed.start()
    assert "37 111" in read_until(handed.master, "DONE")


def test_a_long_console_socket_path_is_no_problem(box: Any) -> None:
    deep = box.directory / ("d" * 90) / ("e" * 40)
    deep.mkdir(parents=True)
    box.config["process"]["terminal"] = True
    box._write("true")
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        os.chdir(deep)
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        listener.listen(1)
        base = [str(box.command), "--root", str(box.directory / "state")]
        bundle = ["--bundle", str(box.directory)]
        subprocess.run(
            [*base, "create", *bundle, "--console-socket", str(deep / "sock"), "long"], check=True, timeout=120
        )
        subprocess.run([*base, "delete", "--force", "long"], check=True, timeout=120)


def test_a_console_socket_that_is_not_there_is_named(box: Any) -> None:
    box.config["process"]["terminal"] = True
    box._write("true")
    base = [str(box.command), "--root", str(box.directory / "state")]
    command = [*base, "create", "--bundle", str(box.directory), "--console-socket", "/nowhere/sock", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "/nowhere/sock" in done.stderr
    assert not (box.directory / "state/x").exists()


def test_a_link_for_the_console_touches_nothing_on_the_host(box: Any) -> None:
    victim = box.directory / "victim"
    victim.write_text("host")
    box.config["mounts"] = [mount for mount in box.mounts if mount["destination"] not in ("/dev", "/dev/shm")]
    (box.root / "dev").mkdir()
    (box.root / "dev/console").symlink_to(victim)
    box.config["process"]["terminal"] = True
    done = box.run("true", fails=True)
    assert "/dev/console" in done.stderr
    assert victim.read_text() == "host"


def test_a_terminal_needs_a_devpts(box: Any) -> None:
    box.config["mounts"] = [mount for mount in box.mounts if mount["destination"] != "/dev/pts"]
    box.config["process"]["terminal"] = True
    assert "devpts" in box.run("true", fails=True).stderr


class Relayed:
    """`railcar run` of a terminal process, on a terminal of ours."""

    def __init__(self, box: Any, script: str) -> None:
        box.config["process"]["terminal"] = True
        box._write(script)
        self.outer, inner = os.openpty()
        set_size(inner, 21, 81)
        self.before = termios.tcgetattr(inner)
        command = [str(box.command), "--root", str(box.directory / "state"), "run", "--bundle", str(box.directory)]
        self.process = subprocess.Popen(
            [*command, box.directory.name], stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        self.inner = inner

    def end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        assert termios.tcgetattr(self.inner) == self.before
        os.close(self.inner)
        os.close(self.outer)
        return code


def test_line_046_run_relays_the_terminal_and_its_size(box: Any) -> None:
    relayed = Relayed(
        box, 'stty size; echo READY; while [ "$(stty size)" != "44 55" ]; do sleep 0.1; done; echo RESIZED; exit 9'
    )
    assert "21 81" in read_until(relayed.outer, "READY")
    assert termios.tcgetattr(relayed.inner)[3] & termios.ECHO == 0
    set_size(relayed.outer, 44, 55)
    relayed.process.send_signal(signal.SIGWINCH)
    read_until(relayed.outer, "RESIZED")
    assert relayed.end() == 9


def test_line_046_keys_are_the_containers(box: Any) -> None:
    relayed = Relayed(box, "trap 'echo INTERRUPTED; exit 7' INT; echo READY; while :; do sleep 0.1; done")
    read_until(relayed.outer, "READY")
    os.write(relayed.outer, b"\x03")
    read_until(relayed.outer, "INTERRUPTED")
    assert relayed.end() == 7


def test_the_terminal_is_given_back_when_the_process_is_killed(box: Any) -> None:
    relayed = Relayed(box, "echo READY; kill -KILL $$; while :; do sleep 1; done")
    read_until(relayed.outer, "READY")
    name = box.directory.name
    base = [str(box.command), "--root", str(box.directory / "state")]
    subprocess.run([*base, "kill", name, "KILL"], check=True, timeout=120)
    assert relayed.end() == 128 + signal.SIGKILL


def test_all_output_before_the_end_arrives(box: Any) -> None:
    box.config["process"]["terminal"] = True
    done = box.run("seq 1 20000; echo THE-END")
    assert done.stdout.splitlines()[-2:] == ["20000", "THE-END"]
    assert len(done.stdout.splitlines()) == 20001


@pytest.mark.parametrize("terminal", [False, True])
def test_signals_are_passed_on(box: Any, terminal: bool) -> None:
    box.config["process"]["terminal"] = terminal
    box._write("trap 'echo TERMINATED; exit 3' TERM; echo READY; while :; do sleep 0.1; done")
    command = [str(box.command), "--root", str(box.directory / "state"), "run", "--bundle", str(box.directory), "s"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL if not terminal else subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        read_until(running.stdout.fileno(), "READY")
        running.send_signal(signal.SIGTERM)
        assert "TERMINATED" in read_to_end(running.stdout.fileno())
        assert running.wait(timeout=PATIENCE) == 3
    assert not Path(box.directory / "state/s").exists()


def test_the_exit_code_is_the_programs(box: Any) -> None:
    assert box.run("exit 42", fails=True).returncode == 42
    assert box.run("echo out; echo err >&2").stdout == "out\n"


@pytest.fixture
def started(box: Any) -> Iterator[Any]:
    """A running container without a terminal."""
    box._write("while :; do sleep 1; done")
    box.railcar("create", "--bundle", str(box.directory), box.directory.name)
    box.railcar("start", box.directory.name)
    yield box
    box.railcar("delete", "--force", box.directory.name)


def test_line_046_exec_relays_a_terminal(started: Any) -> None:
    outer, inner = os.openpty()
    set_size(inner, 19, 79)
    before = termios.tcgetattr(inner)
    base = [str(started.command), "--root", str(started.directory / "state"), "exec", "--tty", started.directory.name]
    script = "test -t 0 && stty size; trap 'echo INTERRUPTED; exit 6' INT; echo READY; while :; do sleep 0.1; done"
    running = subprocess.Popen(
        [*base, "sh", "-c", script], stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    try:
        said = read_until(outer, "READY")
        assert "19 79" in said
        assert "\r\r\n" not in said
        os.write(outer, b"\x03")
        read_until(outer, "INTERRUPTED")
        assert running.wait(timeout=PATIENCE) == 6
        assert termios.tcgetattr(inner) == before
    finally:
        running.kill()
        running.wait()
        os.close(outer)
        os.close(inner)


def test_exec_passes_input_and_signals_without_a_terminal(started: Any) -> None:
    base = [str(started.command), "--root", str(started.directory / "state"), "exec", started.directory.name]
    script = "read x; echo got:$x; trap 'echo TERMINATED; exit 4' TERM; echo READY; while :; do sleep 0.1; done"
    with subprocess.Popen([*base, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"input\n")
        running.stdin.flush()
        assert "got:input" in read_until(running.stdout.fileno(), "READY")
        running.send_signal(signal.SIGTERM)
        assert "TERMINATED" in read_to_end(running.stdout.fileno())
        assert running.wait(timeout=PATIENCE) == 4
