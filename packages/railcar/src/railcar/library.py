"""Containers for Python programs: ``import railcar``. Every function may be called from any thread."""

import contextlib
import os
import secrets
import selectors
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from railcar import asking, documents, signalling, starting
from railcar import state as states
from railcar.asking import Stream, shutdown

if TYPE_CHECKING:
    from railcar.cgroups.group import Group

__all__ = ["Container", "Event", "ExecResult", "shutdown"]


@dataclass(frozen=True)
class ExecResult:
    """What came of a program: its exit code (128 + N after signal N), and its output where it was captured."""

    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True)
class Event:
    """``kind`` is ``stats`` (then ``data`` has the figures) or ``oom``."""

    kind: str
    container_id: str
    data: dict[str, Any] = field(default_factory=dict)


class Container:
    """One container, by id. As a context manager it is deleted, by force, at the end.

    ``Container.create`` makes one; ``Container(id)`` is one that exists already, made by whatever means.
    """

    def __init__(self, container_id: str, root: str | os.PathLike[str] | None = None) -> None:
        from railcar.cli.main import default_root

        self.id = container_id
        self.root = os.path.abspath(os.fspath(root)) if root else default_root()
        #: What `create` had to say besides, a sentence each: an unknown key of config.json, a capability left out.
        self.warnings: tuple[str, ...] = ()
        self._parent: tuple[asking.Helper, int, int] | None = None
        self._code: int | None = None
        states.check_id(container_id)

    @classmethod
    def create(
        cls,
        bundle: str | os.PathLike[str],
        id: str | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        console_socket: str | os.PathLike[str] | None = None,
        systemd_cgroup: bool = False,
        options: Sequence[str] = (),
    ) -> "Container":
        """Make the container of a bundle, ready to be started.

        The streams are the program's: descriptors, files, ``subprocess.DEVNULL``, or None for this program's own.
        ``options`` are further options of ``railcar create``. Raises RailcarError; then nothing is left.
        """
        container = cls(id or f"railcar-{secrets.token_hex(8)}", root)
        argv = container._globals(systemd_cgroup) + ["create", "--bundle", os.path.abspath(os.fspath(bundle)), *options]
        if console_socket is not None:
            argv += ["--console-socket", os.path.abspath(os.fspath(console_socket))]
        with asking.ask([*argv, container.id], (stdin, stdout, stderr)) as asked:
            container.warnings = tuple(asked.answer()["warnings"])
        record = states.find(container.root, container.id)
        container._parent = (asked.helper, record.pid, record.start_time)
        return container

    @classmethod
    def all(cls, root: str | os.PathLike[str] | None = None) -> "list[Container]":
        """Every container under a root directory."""
        where = cls("x", root).root
        return [cls(record.container_id, where) for record in states.all(where)]

    def _globals(self, systemd_cgroup: bool = False) -> list[str]:
        return ["--root", self.root] + (["--systemd-cgroup"] if systemd_cgroup else [])

    def __enter__(self) -> "Container":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete(force=True)

    def __repr__(self) -> str:
        return f"Container({self.id!r}, root={self.root!r})"

    def _record(self) -> states.Record:
        return states.find(self.root, self.id)

    def _group(self) -> "Group":
        from railcar.cli.pause import group_of

        return group_of(self._record())

    @property
    def state(self) -> dict[str, Any]:
        """The state as the specification shapes it. Raises ContainerMissing."""
        record = self._record()
        return record.public(record.status())

    @property
    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        return self._record().status()

    @property
    def pid(self) -> int:
        """The first process, as this program's pid namespace numbers it; 0 when it has stopped."""
        return int(self.state["pid"])

    def start(self) -> "Container":
        """Start the program of a created container; returns the container itself."""
        if starting.hooks(self._record(), "poststart"):
            asking.command([*self._globals(), "start", self.id])
        else:  # nothing is forked: a word through a FIFO, and the answer
            starting.start(self.root, self.id)
        return self

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        capabilities: Sequence[str] = (),
        input: bytes | None = None,
        capture: bool = True,
        options: Sequence[str] = (),
    ) -> ExecResult:
        """Run a program in the container and wait for it.

        ``input`` is its standard input (none: nothing to read). ``capture`` collects its output; else it has this
        program's streams. ``options`` are further options of ``railcar exec``. Raises RailcarError when it cannot be
        run.
        """
        argv = [*self._globals(), "exec", *options]
        for name, value in (env or {}).items():
            argv += ["--env", f"{name}={value}"]
        for option, text in (("--cwd", cwd), ("--user", user)):
            if text is not None:
                argv += [option, text]
        for capability in capabilities:
            argv += ["--cap", capability]
        argv += [self.id, "--", *args]
        with contextlib.ExitStack() as stack:
            return self._exec(stack, argv, input, capture)

    def _exec(self, stack: contextlib.ExitStack, argv: list[str], given: bytes | None, capture: bool) -> ExecResult:
        streams: list[Stream] = [subprocess.DEVNULL, None, None]
        theirs: list[int] = []
        ours: dict[int, int] = {}

        def pipe(number: int) -> None:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            mine, other = (writing, reading) if number == 0 else (reading, writing)
            ours[mine] = number
            theirs.append(other)
            streams[number] = other

        if given is not None:
            pipe(0)
        if capture:
            pipe(1)
            pipe(2)
        try:
            asked = stack.enter_context(asking.ask(argv, streams))
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        collected = asking.pump(ours, given or b"")
        code = int(asked.answer()["code"])
        return ExecResult(code, collected.get(1, b""), collected.get(2, b""))

    def kill(self, signal: int | str = "TERM", *, all: bool = False) -> "Container":
        """Send a signal, by number or name, to the first process or to all of them; returns the container itself."""
        number = int(signal) if isinstance(signal, int) else signalling.number(signal)
        signalling.kill(self.root, self.id, number, all)
        return self

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the first process's end; its exit code, 128 + N after signal N. ``timeout`` in seconds:
        TimeoutError.

        None for a container that this program did not create: only its parent learns the code.
        """
        if self._code is None and self._parent is not None:
            helper, pid, start = self._parent
            try:
                self._code = helper.code(pid, start, timeout)
            except TimeoutError:
                raise self._too_long(timeout) from None
        if self._code is None:
            self._wait_for_death(timeout)
        return self._code

    def _too_long(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"container {self.id} runs on after {timeout} s")

    def _wait_for_death(self, timeout: float | None) -> None:
        pidfd = self._record().pidfd()
        if pidfd < 0:
            return
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise self._too_long(timeout)
        finally:
            os.close(pidfd)

    def pause(self) -> "Container":
        """Freeze its processes; returns the container itself."""
        asking.command([*self._globals(), "pause", self.id])
        return self

    def resume(self) -> "Container":
        """Let a paused container go on; returns the container itself."""
        asking.command([*self._globals(), "resume", self.id])
        return self

    def update(self, resources: Mapping[str, Any]) -> "Container":
        """Change limits: a ``linux.resources`` object as in config.json; what it does not name stays."""
        descriptor = os.memfd_create("resources", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, documents.compact(dict(resources)).encode())
            os.lseek(descriptor, 0, os.SEEK_SET)
            asking.command([*self._globals(), "update", "--resources", "-", self.id], (descriptor, None, None))
        finally:
            os.close(descriptor)
        return self

    def stats(self) -> dict[str, Any]:
        """The figures of its cgroup, as in ``railcar events --stats``: bytes, nanoseconds, counts."""
        from railcar.cgroups.stats import stats

        return stats(self._group())

    def processes(self) -> list[int]:
        """The pids of its processes."""
        return self._group().pids()

    def events(self, interval: float = 5.0) -> Iterator[Event]:
        """Figures every ``interval`` seconds, and out-of-memory kills, until it stops."""
        from railcar.cli.events import events

        for event in events(self._record(), interval):
            yield Event(event["type"], self.id, event.get("data") or {})

    def inspect(self) -> dict[str, Any]:
        """All that is known, as ``railcar inspect --json`` prints it."""
        from railcar.inspection import inspect

        return inspect(self._record())

    def delete(self, *, force: bool = False) -> None:
        """Remove what it holds. ``force`` kills it first, and is content when there is none."""
        asking.command([*self._globals(), "delete", *(["--force"] if force else []), self.id])
