"""A session as crashcart itself sees it, on the host: started, fed, signalled, ended, and its exit code.

crashcart stays outside. Only its child, the supervisor, enters the container (``supervisor.py``).
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal imports enum, and each entry would wait
import _socket
import os
import select
import sys
import termios
import time

from ocicommon.linux import mounts, namespaces, process, terminal
from ocicommon.linux.sockets import receive_fds

from crashcart import ending, procfs, report, supervisor
from crashcart.errors import CrashcartError
from crashcart.plan import Plan, Streams
from crashcart.relay import Flow, Relay
from crashcart.targets import Target

_SETUP_SECONDS = 60.0
_END_SECONDS = ending.SECONDS + 5
_DEATH_SECONDS = 5.0
_FORWARDED = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_KILLED = 137


def streams() -> Streams:
    """A terminal for the command when the user has one at both ends, else a pipe for each stream."""
    if os.isatty(0) and os.isatty(1):
        rows, columns = terminal.get_window_size(0)
        return Streams(True, rows, columns)
    return Streams(False)


class Session:
    """One session; ``run`` it once."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self.plan = plan
        self.step = "start"
        self.running = False
        #: Our child only sets up; the supervisor is yet to be born (guarded.py).
        self.unborn = plan.guarded
        self.code: int | None = None
        #: The command's exit code, while what it left is being ended.
        self.ended: int | None = None
        self.deadline = 0.0
        #: Somebody keeps a process of the session from ending.
        self.held = False
        self.told: tuple[int, str] | None = None
        self.master = -1
        # Held open: the number of a namespace that has ended is given to another's, whose processes are not ours.
        self.mount_namespace = -1
        self.saved: list[object] | None = None
        self.relay = Relay([])
        self.outward: list[Flow] = []

    def run(self) -> int:
        """Start, relay, end; the exit code. CrashcartError when it never got as far as running the command."""
        supervisor.prepare()
        self.control, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        ours, inner = ([], []) if self.plan.streams.terminal else _pipes()
        process.set_dumpable(False)
        # Before there is a child: its end must not be missed.
        for number in (*_FORWARDED, signal.SIGWINCH, signal.SIGCHLD):
            signal.signal(number, self._note_signal)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self.pid = self._fork(theirs, inner)
        theirs.close()
        for fd in inner:
            os.close(fd)
        self.plan.tools.close()
        self.plan.entry.close()
        if ours:
            self.outward = [Flow(ours[1], 1, closes_source=True), Flow(ours[2], 2, closes_source=True)]
            self.relay.flows = [Flow(0, ours[0], closes_sink=True), *self.outward]
            os.set_blocking(ours[0], False)
        self.relay.watched = {self.control.fileno(): self._hear, self.wake: self._signalled}
        if self.target.pidfd >= 0:
            self.relay.watched[self.target.pidfd] = self._target_ended
        try:
            self._loop()
            self.relay.drain(self.outward)
        finally:
            self._restore()
            self._sweep()
        return self._result()

    def _fork(self, theirs: _socket.socket, inner: list[int]) -> int:
        pid_namespace = self.plan.entry.fds.get("pid", -1)
        if pid_namespace >= 0 and not self.plan.guarded:
            namespaces.setns(pid_namespace, namespaces.CLONE_NEWPID)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.control.close()
                code = supervisor.run(self.plan, theirs, inner)
            finally:
                os._exit(code)
        return pid

    def _loop(self) -> None:
        self.deadline = time.monotonic() + _SETUP_SECONDS
        while self.code is None:
            if self.running and self.ended is None:
                self.relay.once()
                continue
            left = self.deadline - time.monotonic()
            if left <= 0 and self.ended is not None:
                report.say(f"{self.target.container.describe()} keeps a process of the session from ending")
                self.held = True
                self.code = self.ended
                self._kill()
                return
            if left <= 0:
                self._kill()
                raise CrashcartError(
                    f"entering {self.target.container.describe()} hangs at step '{self.step}': "
                    f"given up after {_SETUP_SECONDS:.0f} seconds"
                )
            self.relay.once(left)
        self._hear_rest()

    def _note_signal(self, _number: int, _frame: object) -> None:
        """Only so that the system call ends; the number arrives through the wake-up descriptor."""

    def _signalled(self) -> None:
        for number in set(os.read(self.wake, 512)):
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGWINCH:
                if self.master >= 0:
                    rows, columns = terminal.get_window_size(0)
                    terminal.set_window_size(self.master, rows, columns)
            else:
                self._tell(b"signal %d" % number)

    def _tell(self, message: bytes) -> None:
        try:
            self.control.send(message)
        except OSError:
            return  # it has ended, as SIGCHLD is about to say

    def _reap(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid and self.unborn:
            self._take_over(status)
        elif pid:
            self._ended(status)

    def _take_over(self, status: int) -> None:
        """What set up has ended: the child we have now, as the kernel says, is the supervisor."""
        self.unborn = False
        children = procfs.children(os.getpid())
        if children:
            self.pid = children[0]
        if status == 0 and children:
            self._reap()
            return
        if children:
            self._kill()
        self._ended(status)

    def _ended(self, status: int) -> None:
        if self.code is None:
            code = os.waitstatus_to_exitcode(status)
            self.code = 128 - code if code < 0 else code
            if code < 0:
                self.told = self.told or (self.code, self._why_killed())

    def _why_killed(self) -> str:
        try:
            self.target.check()
        except CrashcartError as error:
            return f"{error}, and the session with it"
        return f"the session of {self.target.container.describe()} was killed"

    def _target_ended(self) -> None:
        """Its first process has ended. In a pid namespace of its own the kernel ends the rest; elsewhere we do."""
        del self.relay.watched[self.target.pidfd]
        self.told = (_KILLED, f"{self.target.container.describe()} has ended, and the session with it")
        self.control.shutdown(_socket.SHUT_WR)

    def _hear(self) -> None:
        message, fds = receive_fds(self.control)
        try:
            self._understand(message, fds)
        except (ValueError, OSError) as error:
            # The supervisor speaks well: this is another who has taken it over.
            self.told = (1, f"the session of {self.target.container.describe()} was taken over from inside: {error}")
            self._kill()
            self.code = 1
        finally:
            for fd in fds:
                os.close(fd)

    def _understand(self, message: bytes, fds: list[int]) -> None:
        word, _, rest = message.partition(b" ")
        if word == b"step":
            self.step = rest.decode()
            report.note(f"step: {self.step}")
        elif word == b"note":
            report.note(rest.decode("utf-8", "surrogateescape"))
        elif word == b"terminal" and fds and self.plan.streams.terminal and self.master < 0:
            if mounts.filesystem_type(fds[0]) != mounts.DEVPTS_SUPER_MAGIC:
                raise ValueError("what it calls its terminal is none")
            self._use_terminal(fds.pop(0))
        elif word == b"mounts" and fds and self.mount_namespace < 0:
            self.mount_namespace = fds.pop(0)
        elif word == b"running":
            self.running = True
            if self.unborn:
                self._take_over(os.waitpid(self.pid, 0)[1])
        elif word == b"failed":
            code, _, text = rest.partition(b" ")
            self.told = (_exit_code(code), text.decode("utf-8", "surrogateescape"))
        elif word == b"ended":
            self.ended = _exit_code(rest)
            self.deadline = time.monotonic() + _END_SECONDS
        elif not message:
            self.relay.watched.pop(self.control.fileno(), None)

    def _hear_rest(self) -> None:
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        while self.control.fileno() in self.relay.watched and poll.poll(0):
            self._hear()

    def _use_terminal(self, master: int) -> None:
        self.master = master
        os.set_blocking(master, False)
        self.outward = [Flow(master, 1)]
        self.relay.flows = [Flow(0, master), *self.outward]
        self.saved = termios.tcgetattr(0)
        _make_raw(0, list(self.saved))

    def _restore(self) -> None:
        if self.saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)  # type: ignore[arg-type]
            self.saved = None

    def _kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            self._await_death()
            if self.unborn:
                self.unborn = False
                for self.pid in procfs.children(os.getpid()):
                    self._kill()
        except (ProcessLookupError, ChildProcessError):
            return

    def _await_death(self) -> None:
        """Take in what was killed, if it is to be had: who traces it may hold it for ever."""
        deadline = time.monotonic() + _DEATH_SECONDS
        while not os.waitpid(self.pid, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(0.002)

    def _sweep(self) -> None:
        """Where the supervisor was killed, what it should have ended is found by its mount namespace, which is ours."""
        if self.code is None:
            self._kill()
        elif self.told is None and self.code != _KILLED and not (self.held or self.plan.guarded):
            return
        if self.mount_namespace < 0:
            return
        held = os.fstat(self.mount_namespace)
        for pid in procfs.pids():
            if pid != os.getpid():
                self._end(pid, (held.st_dev, held.st_ino))
        os.close(self.mount_namespace)
        self.mount_namespace = -1

    def _end(self, pid: int, mount_namespace: tuple[int, int]) -> None:
        """Kill a process if it is of this mount namespace, and if it still is when it is held."""
        try:
            if procfs.namespace(pid, "mnt") != mount_namespace:
                return
            if self.target.pidfd < 0:  # no kernel for it
                os.kill(pid, signal.SIGKILL)
                return
            fd = process.pidfd_open(pid)
            try:
                if procfs.namespace(pid, "mnt") == mount_namespace:
                    process.pidfd_send_signal(fd, signal.SIGKILL)
            finally:
                os.close(fd)
        except OSError:
            return  # it has ended

    def _result(self) -> int:
        if self.told is not None:
            code, text = self.told
            if code == 1 and not self.running:
                self.target.check()  # most calls fail somehow when the container is gone
            raise CrashcartError(text, code)
        if not self.running:
            where = f"entering {self.target.container.describe()} ended at step '{self.step}'"
            raise CrashcartError(f"{where} without a word")
        return self.code or 0


def _exit_code(text: bytes) -> int:
    code = int(text)
    if not 0 <= code <= 255:
        raise ValueError(f"{code} is no exit code")
    return code


def _pipes() -> tuple[list[int], list[int]]:
    """(our ends, the command's ends) of pipes for its input, output and errors."""
    read_in, write_in = os.pipe2(os.O_CLOEXEC)
    read_out, write_out = os.pipe2(os.O_CLOEXEC)
    read_err, write_err = os.pipe2(os.O_CLOEXEC)
    return [write_in, read_out, read_err], [read_in, write_out, write_err]


def _make_raw(fd: int, attributes: list[object]) -> None:
    """Pass every byte on as it is: the terminal inside does the editing and the signals. termios(3), cfmakeraw."""
    numbers: list[int] = attributes[:4]  # type: ignore[assignment]
    numbers[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
        | termios.ICRNL | termios.IXON
    )  # fmt: skip
    numbers[1] &= ~termios.OPOST
    numbers[2] = numbers[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    numbers[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    attributes[:4] = numbers
    termios.tcsetattr(fd, termios.TCSADRAIN, attributes)  # type: ignore[arg-type]
