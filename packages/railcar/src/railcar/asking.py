"""This side of the helper process: starting it, asking it, and taking its answers. Safe from threads and after a
fork."""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any

from railcar import documents, errors
from railcar.errors import RailcarError

Stream = int | IO[Any] | None


class Helper:
    """The connection to the warm process, which is started at first use, and once more after a fork or its death."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None

    def _start(self) -> socket.socket:
        if not sys.executable:
            raise RailcarError(
                "this Python does not know its own interpreter (sys.executable): no helper can be started"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        import ocicommon

        files = (__file__, str(ocicommon.__file__))
        paths = list(dict.fromkeys(os.path.dirname(os.path.dirname(file)) for file in files))
        code = f"import sys; sys.path[:0] = {paths!r}; from railcar.helper import main; main({theirs.fileno()})"
        # No terminal's signals reach it, and no directory is kept busy by it.
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        return ours

    def send(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """One request, whole."""
        data = documents.compact(request).encode()
        with self.lock:
            if self.socket is None:
                self.socket = self._start()
            try:
                socket.send_fds(self.socket, [data], descriptors)
            except (BrokenPipeError, ConnectionResetError):  # it died; a reset where it had not read all
                self.close()
                self.socket = self._start()
                socket.send_fds(self.socket, [data], descriptors)

    def close(self) -> None:
        """Let the helper end."""
        if self.socket is not None:
            self.socket.close()
        if self.process is not None:
            self.process.wait()
        self.socket = self.process = None


helper = Helper()


def _forget() -> None:
    """After a fork, the child needs a helper of its own."""
    global helper
    if helper.socket is not None:
        helper.socket.close()
    if helper.process is not None:
        # The parent waits for it; this process is not its parent.
        helper.process.returncode = 0
    helper = Helper()


os.register_at_fork(after_in_child=_forget)


def shutdown() -> None:
    """End the helper process. Containers go on; the next call starts another helper."""
    with helper.lock:
        helper.close()


def _rebuild(answer: dict[str, Any]) -> Exception:
    """The exception that the helper's command raised."""
    if answer["error"] == "OSError":
        return RailcarError(answer["message"])
    kind = getattr(errors, answer["error"], RailcarError)
    error: RailcarError = kind.__new__(kind)
    Exception.__init__(error, answer["message"])
    error.message, error.code = answer["message"], answer["code"]
    return error


def receive(reply: socket.socket, timeout: float | None = None) -> dict[str, Any]:
    reply.settimeout(timeout)
    data = reply.recv(1 << 20)
    if not data:
        raise RailcarError("the helper process ended in the middle of a command")
    answer: dict[str, Any] = documents.parse(data, "answer")
    if "error" in answer:
        raise _rebuild(answer)
    return answer


def _descriptor(stack: contextlib.ExitStack, stream: Stream, standard: int) -> int:
    if stream is None:
        try:
            os.fstat(standard)
            return standard
        except OSError:
            stream = subprocess.DEVNULL
    if stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        return descriptor
    return stream if isinstance(stream, int) else stream.fileno()


def ask(argv: list[str], streams: Sequence[Stream]) -> socket.socket:
    """Have a command run; the socket gives its answer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            numbers = [_descriptor(stack, stream, standard) for standard, stream in enumerate(streams)]
            helper.send({"do": "command", "argv": argv}, [theirs.fileno(), *numbers])
    except BaseException:
        ours.close()
        raise
    return ours


def command(argv: list[str], streams: Sequence[Stream] = (subprocess.DEVNULL, None, None)) -> dict[str, Any]:
    with ask(argv, streams) as reply:
        return receive(reply)


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
