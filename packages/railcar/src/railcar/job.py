"""What the child of `create` or `exec` has to do: planned, opened and built by the host's side, and inherited."""

import marshal

from ocicommon.linux.capabilities import capget

from railcar import identity, stub
from railcar.plan.seccomp import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.between import Late
    from railcar.handshake import Channel
    from railcar.plan.namespaces import Namespaces
    from railcar.plan.process import Process


class Job:
    """All that the child has to do. Descriptors are those of the host's side, and inherited; -1 for none."""

    __slots__ = (
        "builder",
        "channel",
        "console",
        "create_hooks",
        "emulated",
        "filter",
        "filter_later",
        "go",
        "host_acts",
        "init",
        "joins_later",
        "keyring",
        "late",
        "listener",
        "lock",
        "memory_group",
        "memory_last",
        "memory_policy",
        "namespaces",
        "opened",
        "placed",
        "proc",
        "process",
        "reply",
        "start_hooks",
        "state",
        "stub",
        "task_fds",
        "terminal",
        "told",
        "wait",
    )

    def __init__(self, channel: "Channel", namespaces: "Namespaces") -> None:
        self.channel = channel
        self.namespaces = namespaces
        self.opened: list[tuple[str, int, int]] = []
        self.process: Process | None = None
        self.builder: Any = None
        self.filter: Filter | None = None
        self.task_fds: list[int] = []
        # What the host's side still makes while the child is being born: the cgroups; the filter and the stub.
        self.joins_later = self.filter_later = False
        self.host_acts = False  # between the mounts and the root: with hooks, or devices to move
        self.memory_last = False
        self.memory_group = -1  # the `tasks` of a v1 memory group, joined last: what set-up took is not charged to it
        self.go = self.reply = self.proc = self.stub = self.terminal = -1
        self.lock = -1  # held by the child as well, until it is where a clean-up finds it
        self.console: Any = None  # a connected socket that gets the terminal
        self.listener: Any = None  # a connected socket that gets the seccomp listener
        self.keyring = ""
        self.placed = False  # systemd puts the child into its cgroup, and it waits for that
        self.late: Late | None = None  # of a pid namespace that is entered last
        self.create_hooks: list[dict[str, Any]] = []
        self.start_hooks: list[dict[str, Any]] = []
        self.told = b""
        self.state = b""
        self.emulated = False
        self.memory_policy: tuple[int, int, list[int]] | None = None
        self.wait = True
        self.init = False  # --init: the stub stays, as process 1

    def build_stub(self, user_namespace: bool) -> None:
        """Assemble the stub of this job, if it has one. `user_namespace`: all capabilities are held there."""
        if self.process is None or not stub.supported():
            return
        filter_ = self.filter if self.filter is not None and self.filter.place == "stub" else None
        needs = stub.Needs(
            go=self.go,
            reply=self.reply,
            proc=self.proc,
            label=self.process.label,
            attribute=self.process.attribute,
            program=filter_.program if filter_ is not None else b"",
            flags=filter_.flags if filter_ is not None else 0,
            init=self.init,
            capabilities=identity.through_stub(self.process, -1 if user_namespace else capget()[1]),
        )
        self.stub = stub.executable(stub.image(needs))

    def equipment(self) -> tuple[bytes, list[int]]:
        """What `take` takes in the child: the filter for Python and the stub."""
        filter_ = self.filter
        told = None if filter_ is None else (filter_.program, filter_.flags, filter_.place)
        return marshal.dumps(told), [self.stub] if self.stub >= 0 else []

    def take(self, told: bytes, fds: list[int]) -> None:
        """In the child: the filter and the stub that were made since its birth."""
        found = marshal.loads(told)
        if found is not None:
            program, flags, place = found
            self.filter = Filter(program, flags, place, "", "")
        for fd in fds:
            self.stub = fd

    def descriptors(self) -> set[int]:
        """What the child itself still needs, besides what it is to pass on."""
        needed = {self.channel.child.fileno(), self.stub, self.go, self.reply, self.proc}
        needed |= {self.memory_group, self.terminal}
        needed.update(sock.fileno() for sock in (self.console, self.listener) if sock is not None)
        return needed

    def close_sockets(self) -> None:
        """On the host's side, after the clone; a listener that the child cannot send goes through here later."""
        if self.console is not None:
            self.console.close()
        if self.listener is not None and not (self.filter is not None and self.filter.by_host):
            self.listener.close()

    def waits_in_python(self) -> bool:
        """Hooks that run after `start`, or a filter that the stub would not survive, leave the waiting to Python."""
        return self.stub < 0 or bool(self.start_hooks) or (self.filter is not None and self.filter.place == "last")
