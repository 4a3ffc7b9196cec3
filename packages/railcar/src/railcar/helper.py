"""The warm process behind ``import railcar``: it has everything imported, has one thread, and forks for each command.

A program with threads must not fork and then run Python; this process may. It is told what to do over a socket of
packets, each with a reply socket and the command's three streams as descriptors, and it ends when that socket
closes. Orphans of its commands, which are the containers' first processes, become its children, so that it learns
their exit codes.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import select
import sys

from ocicommon.linux.process import set_child_subreaper
from ocicommon.linux.seccomp import default
from ocicommon.linux.sockets import receive_fds, send_fds

from railcar import config, documents, guarded, specimen, state, tracing
from railcar.cli import log
from railcar.cli.parse import find_command, parse_command, parse_globals
from railcar.errors import RailcarError
from railcar.plan import container
from railcar.versions import SPEC_MINIMUM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 1 << 17
KEPT = 4096
# milliseconds without a request, after which the next command's process is made
IDLE = 20
# imported before the first command, so that no child pays for it
PRELOADED = (
    "railcar.creating",
    "railcar.starting",
    "railcar.executing",
    "railcar.removing",
    "railcar.foreground",
    "railcar.console",
    "railcar.hooks",
    "railcar.inside",
    "railcar.netdevices",
    "railcar.cgroups.create",
    "railcar.cgroups.mounts",
    "railcar.cli.main",
    "railcar.stub.x86_64",
    "railcar.stub.aarch64",
    "ocicommon.linux.keyring",
    "railcar.cgroups.group",
    "railcar.cli.create",
    "railcar.cli.start",
    "railcar.cli.exec",
    "railcar.cli.delete",
    "railcar.cli.pause",
    "railcar.cli.resume",
    "railcar.cli.update",
    "ocicommon.linux.seccomp",
    "ocicommon.linux.seccomp.numbers",
)


class Helper:
    """The loop of the helper. ``ended``: (pid, start time) -> exit code of orphans that nobody has asked for yet."""

    def __init__(self, requests: _socket.socket) -> None:
        self.requests = requests
        self.commands: set[int] = set()
        self.ended: dict[tuple[int, int], int] = {}
        self.waiting: dict[tuple[int, int], list[_socket.socket]] = {}
        self.spare: _socket.socket | None = None
        self.woken, self.waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Until the other side has gone."""
        set_child_subreaper(True)
        _signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.requests, select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        while True:
            ready = poll.poll(None if self.spare else IDLE)
            if not ready:
                self.make_spare()
            for descriptor, _ in ready:
                if descriptor == self.woken:
                    os.read(self.woken, 4096)
                    self.reap()
                elif not self.request():
                    return

    def request(self) -> bool:
        """Take one packet; False at the end of the connection."""
        data, descriptors = receive_fds(self.requests, LARGEST)
        if not data:
            return False
        asked = documents.parse(data, "request")
        reply = _socket.socket(fileno=descriptors[0])
        if asked["do"] == "wait":
            self.wait((asked["pid"], asked["start"]), reply)
            return True
        try:
            self.hand_over(data, descriptors)
        finally:
            reply.close()
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        return True

    def hand_over(self, data: bytes, descriptors: list[int]) -> None:
        """Give a command to the child that waits, or to a new one."""
        for _ in range(2):
            if self.spare is None:
                self.make_spare()
            spare, self.spare = self.spare, None
            if spare is None:
                continue
            try:
                send_fds(spare, data, descriptors)
                return
            except OSError:
                # It was killed from outside.
                continue
            finally:
                spare.close()

    def make_spare(self) -> None:
        """Fork the next command's process now, while nobody waits: it warms itself, and then waits for its command."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            # Whoever holds this end seems to be a helper to the other side.
            self.requests.close()
            ours.close()
            become(theirs)
        theirs.close()
        self.commands.add(pid)
        self.spare = ours

    def wait(self, key: tuple[int, int], reply: _socket.socket) -> None:
        """Answer with an orphan's exit code, now or when it ends."""
        if key in self.ended:
            if answer(reply, {"code": self.ended[key]}):
                del self.ended[key]
        else:
            self.waiting.setdefault(key, []).append(reply)

    def reap(self) -> None:
        """Take the exit codes of all that have ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            times = state.process_times(pid)
            status = os.waitpid(pid, 0)[1]
            if pid in self.commands:
                self.commands.discard(pid)
                continue
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
            key = (pid, times[1] if times else 0)
            told = [answer(reply, {"code": code}) for reply in self.waiting.pop(key, [])]
            if not any(told):
                self.ended[key] = code
                while len(self.ended) > KEPT:
                    del self.ended[next(iter(self.ended))]


def answer(reply: _socket.socket, what: "dict[str, Any]") -> bool:
    """Send an answer; False when nobody is there to take it."""
    try:
        reply.send(documents.compact(what).encode("utf-8", "surrogateescape"))
        return True
    except OSError:
        return False
    finally:
        reply.close()


def warm() -> None:
    """Plan a container that is never made, so that all pages and all code that planning takes are ready."""
    value = specimen.config(SPEC_MINIMUM, False)
    value["linux"]["seccomp"] = default.docker()
    try:
        container.Plans(config.Loaded(value, b"{}", "/", "/"), "warm", container.Options())
    except (RailcarError, OSError):
        # The first real command will tell.
        return


def become(channel: _socket.socket) -> None:
    """In the spare child: wait for a command, and become it; end when the helper has gone."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    if not poll.poll(0):
        warm()
    data, descriptors = receive_fds(channel, LARGEST)
    channel.close()
    if data:
        command(documents.parse(data, "request"), descriptors[1:4], _socket.socket(fileno=descriptors[0]))
    os._exit(0)


def command(asked: "dict[str, Any]", streams: list[int], reply: _socket.socket) -> None:
    """In the forked child: become the command, answer, and end."""
    what: dict[str, Any] = {}
    try:
        tracing.restart()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        options, rest = parse_globals(asked["argv"], "")
        arguments = parse_command(find_command(rest[0]), rest[1:])
        module = __import__(f"railcar.cli.{arguments.command.module}", fromlist=["run"])
        what = {"code": module.run(options, arguments)}
    except RailcarError as error:
        what = {"error": type(error).__name__, "message": error.message, "code": error.code}
    except OSError as error:
        what = {"error": "OSError", "message": str(error), "code": 1}
    except BaseException as error:
        what = {"error": "RailcarError", "message": f"{type(error).__name__}: {error}", "code": 1}
    what["warnings"] = log.pending()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        what.setdefault("warnings", [])
    answer(reply, what)
    os._exit(0)


def main(descriptor: int) -> None:
    """Serve on an inherited socket of type SOCK_SEQPACKET.

    In a sealed program from the start: its commands meet containers that may trace them, and cannot seal themselves.
    """
    guarded.seal()
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue
    gc.collect()
    gc.freeze()
    os.set_inheritable(descriptor, False)
    Helper(_socket.socket(fileno=descriptor)).serve()
    os._exit(0)
