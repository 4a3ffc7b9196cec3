"""The warm process behind ``import railcar``: it has everything imported, has one thread, and forks for each command.

A program with threads must not fork and then run Python; this process may. It has two sockets of packets with that
program. From one, the commands, only its spare child reads: that was forked before, has warmed itself, becomes the
command, and says so by closing its channel, so that the next one is forked. From the other, the waits, the helper
reads itself: orphans of its commands, which are the containers' first processes, become its children, so that it
learns their exit codes. It ends when the waits are closed, and a spare that has no command yet ends with it.

A packet of either has a document and descriptors: first the socket of the answer, then for a command its three streams.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import select
import sys

from ocicommon.linux.process import set_child_subreaper, set_parent_death_signal
from ocicommon.linux.seccomp import default

from railcar import config, guarded, packets, specimen, state, stub, tracing
from railcar.cli import log
from railcar.cli.parse import find_command, parse_command, parse_globals
from railcar.errors import RailcarError
from railcar.plan import container
from railcar.versions import SPEC_MINIMUM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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

    def __init__(self, commands: _socket.socket, waits: _socket.socket) -> None:
        self.commands, self.waits = commands, waits
        self.forked: set[int] = set()
        self.ended: dict[tuple[int, int], int] = {}
        self.waiting: dict[tuple[int, int], list[_socket.socket]] = {}
        self.spare: _socket.socket | None = None
        self.woken, self.waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Until the other side has gone."""
        set_child_subreaper(True)
        _signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        while True:
            poll = select.poll()
            for one in (self.waits, self.woken, self.commands if self.spare is None else self.spare):
                poll.register(one, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(IDLE if self.spare is None else None)}
            if self.woken in ready:
                os.read(self.woken, 4096)
                self.reap()
            if self.waits.fileno() in ready and not self.request():
                return
            if self.spare is not None and self.spare.fileno() in ready:
                self.spare.close()
                self.spare = None
            elif self.spare is None and (not ready or self.commands.fileno() in ready):
                self.make_spare()

    def request(self) -> bool:
        """Take one wait; False at the end of the connection."""
        asked, descriptors = packets.receive(self.waits)
        if asked is None:
            return False
        self.wait((asked["pid"], asked["start"]), _socket.socket(fileno=descriptors[0]))
        return True

    def make_spare(self) -> None:
        """Fork the process of the next command."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        helper = os.getpid()
        pid = os.fork()
        if pid == 0:
            set_parent_death_signal(9)
            if os.getppid() != helper:
                os._exit(1)
            # Whoever holds the other end of the waits seems to be a helper to the other side.
            self.waits.close()
            ours.close()
            become(self.commands, theirs)
        theirs.close()
        self.forked.add(pid)
        self.spare = ours

    def wait(self, key: tuple[int, int], reply: _socket.socket) -> None:
        """Answer with an orphan's exit code, now or when it ends; None where that was told already."""
        times = state.process_times(key[0])
        if key in self.ended:
            if answer(reply, {"code": self.ended[key]}):
                del self.ended[key]
        elif times is None or times[1] != key[1]:
            answer(reply, {"code": None})
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
            if pid in self.forked:
                self.forked.discard(pid)
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
        packets.send(reply, what)
        return True
    except OSError:
        return False
    finally:
        reply.close()


def warm() -> None:
    """Plan a container that is never made, so that all pages and all code that planning takes are ready."""
    _, rest = parse_globals(["--root", "/run/railcar", "create", "--bundle", "/", "warm"], "")
    arguments = parse_command(find_command(rest[0]), rest[1:])
    __import__(f"railcar.cli.{arguments.command.module}", fromlist=["run"])
    value = specimen.config(SPEC_MINIMUM, False)
    value["linux"]["seccomp"] = default.docker()
    try:
        plans = container.Plans(config.Loaded(value, b"{}", "/", "/"), "warm", container.Options())
        plans.compile_filter()
        stub.image(stub.Needs(go=3, reply=4, program=plans.filter.program if plans.filter is not None else b""))
    except (RailcarError, OSError):
        # The first real command will tell.
        return


def become(commands: _socket.socket, told: _socket.socket) -> None:
    """In the spare child: wait for a command, and become it; end when there will be none."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    poll = select.poll()
    poll.register(commands, select.POLLIN)
    if not poll.poll(0):
        warm()
    gc.disable()
    asked, descriptors = packets.receive(commands)
    commands.close()
    told.close()
    if asked is not None:
        set_parent_death_signal(0)
        command(asked, descriptors[1:4], _socket.socket(fileno=descriptors[0]))
    os._exit(0)


def command(asked: "dict[str, Any]", streams: list[int], reply: _socket.socket) -> None:
    """In the forked child: become the command, answer, and end."""
    what: dict[str, Any] = {}
    try:
        tracing.restart()
        os.chdir(asked["directory"])
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


def main(commands: int, waits: int) -> None:
    """Serve on two inherited sockets of type SOCK_SEQPACKET.

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
    for descriptor in (commands, waits):
        os.set_inheritable(descriptor, False)
    Helper(_socket.socket(fileno=commands), _socket.socket(fileno=waits)).serve()
    os._exit(0)
