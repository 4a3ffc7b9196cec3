"""Waiting for a container's process in the foreground: signals are passed on, a terminal is relayed, its exit is ours.

Whatever happens, the user's terminal is given back as it was.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll

from ocicommon.linux import process, terminal

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 1 << 16
_LAST_SIGNAL = 64
_END_OF_FILE = b"\x04"

# Not passed on: what cannot be caught, what is about our own children and terminal, and faults of our own.
_OURS = frozenset(
    (
        _signal.SIGKILL,
        _signal.SIGSTOP,
        _signal.SIGCHLD,
        _signal.SIGPIPE,
        _signal.SIGWINCH,
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGFPE,
        _signal.SIGILL,
        _signal.SIGABRT,
        _signal.SIGTTIN,
        _signal.SIGTTOU,
        _signal.SIGURG,
    )
)


# The C library keeps these two for itself.
_PASSED = frozenset(range(1, _LAST_SIGNAL + 1)) - _OURS - {32, 33}

# Before there is a process to pass them to, these end the making of it.
_ENDING = frozenset((_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT))


class Interrupted(RailcarError):
    """A signal came while the container was still being made; nothing of it is left."""


class Foreground:
    """Holds signals from its making on, blocked, until ``run`` passes them on.

    ``making``: the first that means an end raises Interrupted, until ``hold`` says that there is a process.
    """

    def __init__(self, making: bool = False) -> None:
        held = _PASSED | {_signal.SIGWINCH}
        self._signals = process.signalfd(held)
        self._handlers: dict[int, Any] = {}
        self._saved: list[Any] | None = None
        self._master = -1
        self._to_master = b""
        self._reading = False
        if making:
            self._handlers = {number: _signal.signal(number, self._interrupt) for number in _ENDING}
            held -= _ENDING
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, held)

    def hold(self) -> None:
        """From now on signals are the process's."""
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _ENDING)

    def close(self) -> None:
        """Give back the terminal's mode and the signals, but those that came for the process. May be called twice."""
        self._restore_terminal()
        if self._signals < 0:
            return
        self._arrived()
        for number, handler in self._handlers.items():
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
        os.close(self._signals)
        self._signals = -1

    def attach(self, master: int) -> None:
        """Relay between our 0 and 1 and this controlling end of the container's terminal, which is ours from now on."""
        self._master = master
        os.set_blocking(master, False)
        _no_carriage_returns(master)
        self._resize()
        if os.isatty(0):
            self._raw()

    def run(self, pid: int, pidfd: int) -> int:
        """Until the child ``pid`` ends: its exit code, 128 + N after signal N. Reaps it."""
        self.hold()
        try:
            self._relay(pidfd)
            _, status = os.waitpid(pid, 0)
        finally:
            self.close()
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _interrupt(self, number: int, _frame: object) -> None:
        """Further ones do not stop the cleaning up."""
        self.hold()
        raise Interrupted(f"interrupted by signal {number}", 128 + number)

    def _arrived(self) -> list[int]:
        try:
            return process.signals_of(os.read(self._signals, _CHUNK))
        except BlockingIOError:
            return []

    def _raw(self) -> None:
        # Output keeps its processing: our terminal adds the carriage returns that the container's does not.
        import termios

        self._saved = termios.tcgetattr(0)
        mode = termios.tcgetattr(0)
        mode[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON | termios.INLCR)
        mode[0] &= ~(termios.IGNBRK | termios.PARMRK | termios.IGNCR)
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSANOW, mode)

    def _restore_terminal(self) -> None:
        if self._saved is None:
            return
        import termios

        saved, self._saved = self._saved, None
        try:
            termios.tcsetattr(0, termios.TCSANOW, saved)
        except termios.error:
            return

    def _resize(self) -> None:
        if self._master < 0:
            return
        for fd in (0, 1, 2):
            try:
                rows, columns = terminal.get_window_size(fd)
                if rows or columns:
                    terminal.set_window_size(self._master, rows, columns)
                return
            except OSError:
                continue

    def _relay(self, pidfd: int) -> None:
        self._reading = self._master >= 0
        while True:
            ready = dict(self._poller(pidfd).poll())
            if self._signals in ready:
                self._pass_on(pidfd)
            if self._master >= 0:
                self._move(ready)
            if pidfd in ready:
                break
        # Reading and polling push through what the kernel still has under way, so nothing said before the end is lost.
        while self._master >= 0 and self._from_master():
            continue

    def _poller(self, pidfd: int) -> Any:
        poller = poll()
        poller.register(pidfd, POLLIN)
        poller.register(self._signals, POLLIN)
        if self._master >= 0:
            poller.register(self._master, POLLIN | (POLLOUT if self._to_master else 0))
            if self._reading and len(self._to_master) < _CHUNK:
                poller.register(0, POLLIN)
        return poller

    def _move(self, ready: dict[int, int]) -> None:
        events = ready.get(self._master, 0)
        if 0 in ready:
            self._reading = self._from_stdin()
        if events & POLLOUT and self._to_master:
            try:
                self._to_master = self._to_master[os.write(self._master, self._to_master) :]
            except OSError:
                self._to_master = b""
        if events & (POLLIN | POLLHUP | POLLERR) and self._from_master() is None:
            os.close(self._master)
            self._master = -1

    def _pass_on(self, pidfd: int) -> None:
        for number in self._arrived():
            if number == _signal.SIGWINCH:
                self._resize()
                continue
            try:
                process.pidfd_send_signal(pidfd, number)
            except OSError:
                return

    def _from_master(self) -> int | None:
        """Bytes shown; 0 when there is nothing now, None when the other end is closed for good."""
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            return None
        _write_all(1, data)
        return len(data) or None

    def _from_stdin(self) -> bool:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            return False
        self._to_master += data or _END_OF_FILE
        return bool(data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return


def _no_carriage_returns(master: int) -> None:
    """Leave line ends as the program writes them: a pipe that takes our output sees no terminal's habits."""
    import termios

    mode = termios.tcgetattr(master)
    mode[1] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, mode)
