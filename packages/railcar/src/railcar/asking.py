"""This side of the helper process: starting it, asking it, and taking its answers. Safe from threads and after a
fork."""

import contextlib
import fcntl
import os
import resource
import select
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any

from ocicommon.linux.process import RESOURCES

from railcar import errors, packets
from railcar.errors import RailcarError

Stream = int | IO[Any] | None


class Helper:
    """A warm process, and our ends of its two sockets. It works as what this program was when it was started."""

    def __init__(self) -> None:
        if not sys.executable:
            raise RailcarError(
                "this Python does not know its own interpreter (sys.executable): no helper can be started"
            )
        self.rights = _rights()
        self.commands, commands = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.waits, waits = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        import ocicommon

        files = (__file__, str(ocicommon.__file__))
        paths = list(dict.fromkeys(os.path.dirname(os.path.dirname(file)) for file in files))
        with commands, waits, contextlib.ExitStack() as stack:
            theirs = [_above_streams(stack, one) for one in (commands, waits)]
            arguments = ", ".join(str(number) for number in theirs)
            code = f"import sys; sys.path[:0] = {paths!r}; from railcar.helper import main; main({arguments})"
            try:
                # No terminal's signals reach it, and no directory is kept busy by it.
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=None if _is_open(2) else subprocess.DEVNULL,
                    pass_fds=theirs,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self.disconnect()
                reason = errors.errno_text(error.errno or 0)
                raise RailcarError(f"no helper process can be started with {sys.executable}: {reason}") from None

    def alive(self) -> bool:
        """Whether it is there. Not by its pid, which a program that waits for all its children reaps itself."""
        if self.waits.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self.waits, 0)
        return not poll.poll(0)

    def code(self, pid: int, start: int, timeout: float | None) -> int | None:
        """The exit code of a process that its commands left, once it has ended; None where nobody knows it.

        Raises TimeoutError.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                try:
                    packets.send(self.waits, {"pid": pid, "start": start}, [theirs.fileno()])
                except OSError:
                    return None
            poll = select.poll()
            poll.register(ours, select.POLLIN)
            if not poll.poll(None if timeout is None else max(0, int(timeout * 1000))):
                raise TimeoutError(f"process {pid} runs on after {timeout} s")
            answer, _ = packets.receive(ours)
        code = answer["code"] if answer is not None else None
        return None if code is None else int(code)

    def close(self) -> None:
        """Let it end, and wait for that."""
        self.disconnect()
        self.process.wait()

    def disconnect(self) -> None:
        self.waits.close()
        self.commands.close()


_lock = threading.Lock()
_helpers: list[Helper] = []  # the last one takes commands; those before it still know exit codes


def current() -> Helper:
    """The helper that takes commands: another one where that died, or where this program's rights have changed."""
    with _lock:
        if not _helpers or not _helpers[-1].alive() or _helpers[-1].rights != _rights():
            _helpers[:] = [one for one in _helpers if one.alive()]
            _helpers.append(Helper())
        return _helpers[-1]


def _rights() -> tuple[Any, ...]:
    """What a container that is made now may do and get: ids, groups and limits, which no running process follows."""
    limits = [resource.getrlimit(number) for number in RESOURCES.values()]
    return os.getresuid(), os.getresgid(), os.getgroups(), limits


def _forget() -> None:
    """After a fork, the child needs a helper of its own."""
    global _lock
    _lock = threading.Lock()
    for one in _helpers:
        one.disconnect()
        # The parent waits for it; this process is not its parent.
        one.process.returncode = 0
    _helpers.clear()


os.register_at_fork(after_in_child=_forget)


def shutdown() -> None:
    """End the helper process. Containers go on; the next call starts another helper."""
    with _lock:
        while _helpers:
            _helpers.pop().close()


def _rebuild(answer: dict[str, Any]) -> Exception:
    """The exception that the helper's command raised."""
    if answer["error"] == "OSError":
        return RailcarError(answer["message"])
    kind = getattr(errors, answer["error"], RailcarError)
    error: RailcarError = kind.__new__(kind)
    Exception.__init__(error, answer["message"])
    error.message, error.code = answer["message"], answer["code"]
    return error


class Asked:
    """A command on its way: which helper has it, and its answer to come."""

    def __init__(self, helper: Helper, reply: socket.socket) -> None:
        self.helper, self.reply = helper, reply

    def __enter__(self) -> "Asked":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reply.close()

    def answer(self) -> dict[str, Any]:
        """Wait for it: ``code`` and ``warnings``. Raises what the command raised."""
        answer, _ = packets.receive(self.reply)
        if answer is None:
            raise RailcarError("the helper process ended in the middle of a command")
        if "error" in answer:
            raise _rebuild(answer)
        return answer


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
        return True
    except OSError:
        return False


def _above_streams(stack: contextlib.ExitStack, sock: socket.socket) -> int:
    """A copy that the helper's streams do not overwrite, where those of this program are closed."""
    number = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    stack.callback(os.close, number)
    return number


def _descriptor(stack: contextlib.ExitStack, stream: Stream, standard: int) -> int:
    if stream is None:
        if _is_open(standard):
            return standard
        stream = subprocess.DEVNULL
    if stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        return descriptor
    return stream if isinstance(stream, int) else stream.fileno()


def ask(argv: list[str], streams: Sequence[Stream] = (subprocess.DEVNULL, None, None)) -> Asked:
    """Have a command run, with these three streams."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            numbers = [_descriptor(stack, stream, standard) for standard, stream in enumerate(streams)]
            return Asked(_send({"argv": argv, "directory": _directory()}, [theirs.fileno(), *numbers]), ours)
    except BaseException:
        ours.close()
        raise


def _send(request: dict[str, Any], descriptors: list[int]) -> Helper:
    """Give it to the helper, and to another one should that have died just now; returns which has it."""
    helper = current()
    try:
        packets.send(helper.commands, request, descriptors)
    except OSError:
        helper = current()
        packets.send(helper.commands, request, descriptors)
    return helper


def _directory() -> str:
    """Where relative paths of a command begin."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def command(argv: list[str], streams: Sequence[Stream] = (subprocess.DEVNULL, None, None)) -> None:
    """Have a command run, and wait for its end. Raises RailcarError."""
    with ask(argv, streams) as asked:
        asked.answer()


def pump(ours: dict[int, int], given: bytes) -> dict[int, bytes]:
    """Feed standard input and collect the outputs until all are closed. ``ours``: descriptor -> stream number."""
    collected: dict[int, list[bytes]] = {}
    rest = memoryview(given)
    with selectors.DefaultSelector() as selector:
        for descriptor, number in ours.items():
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_WRITE if number == 0 else selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select():
                done = False
                if key.data == 0:
                    try:
                        rest = rest[os.write(key.fd, rest) :]
                        done = not rest
                    except (BrokenPipeError, ConnectionResetError):  # it died; a reset where it had not read all
                        done = True
                else:
                    part = os.read(key.fd, 65536)
                    collected.setdefault(key.data, []).append(part)
                    done = not part
                if done:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return {number: b"".join(parts) for number, parts in collected.items()}
