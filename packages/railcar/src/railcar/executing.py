"""`exec`: one more process in a container, by the same stages: planned here, made inside, ended by the stub."""

import errno
import os

from ocicommon.linux.namespaces import CLONE_NEWPID, CLONE_NEWUSER, TYPES, setns
from ocicommon.linux.process import clone3, pidfd_send_signal, set_dumpable

from railcar import (
    birth,
    config,
    entering,
    guarded,
    handshake,
    placing,
    starting,
    stub,
    tracing,
    watching,
)
from railcar.errors import ConfigError, RailcarError, StepError
from railcar.job import Job
from railcar.plan import process as process_plan
from railcar.plan import seccomp as seccomp_plan
from railcar.plan.namespaces import Namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from railcar.state import Record


class Options:
    """What the command line says beside the process itself. `cgroups`: [CONTROLLER:]PATH below the container's own.

    `watched`: processes that the container's pid namespace shows may trace ours (`watching.needed`).
    `before_go` is called when the program is about to run, with our end of a terminal that this command relays.
    """

    __slots__ = (
        "before_go",
        "cgroups",
        "console_socket",
        "ignore_paused",
        "pid_file",
        "pidfd_socket",
        "preserve",
        "relay",
        "watched",
    )

    def __init__(self) -> None:
        self.cgroups: list[str] = []
        self.console_socket = self.pid_file = self.pidfd_socket = ""
        self.ignore_paused = self.relay = self.watched = False
        self.preserve = 0
        self.before_go: Callable[[Any], None] | None = None


class Executed:
    """The process, as its parent holds it."""

    __slots__ = ("pid", "pidfd", "warnings")

    def __init__(self, pid: int, pidfd: int, warnings: list[str]) -> None:
        self.pid, self.pidfd, self.warnings = pid, pidfd, warnings


def execute(record: "Record", given: "dict[str, Any]", options: Options) -> Executed:
    """Run a process object (already checked) in a container. Raises RailcarError; then nothing of it is left."""
    refuse(record, options)
    kept = record.config()
    linux = kept.get("linux") or {}
    process = process_plan.plan(given, linux, options.preserve)
    process_plan.keep_groups(process, record.data.get("annotations"), record.pid)
    if process.terminal and not (options.console_socket or options.relay):
        raise ConfigError("a terminal needs --console-socket, since this command does not stay to relay it")
    if options.console_socket and not process.terminal:
        raise ConfigError("--console-socket is for a process with a terminal: set process.terminal, or leave it out")
    tracing.mark("plan")
    return _Execution(record, process, linux.get("seccomp") or {}, options).run()


def refuse(record: "Record", options: Options) -> None:
    """Only a created or running container takes a process, and a paused one when told so."""
    status = record.status()
    name = record.container_id
    if status == "stopped":
        raise RailcarError(f"cannot exec in a stopped container: {name}: container not running")
    if status == "creating":
        raise RailcarError(f"cannot exec in {name}: it is still being created")
    if status == "paused" and not options.ignore_paused:
        raise RailcarError(f"cannot exec in a paused container: {name}: resume it first, or give --ignore-paused")


class _Execution:
    def __init__(
        self,
        record: "Record",
        process: process_plan.Process,
        profile: "dict[str, Any]",
        options: Options,
    ) -> None:
        self.record, self.process, self.profile, self.options = record, process, profile, options
        self.ours: Any = None
        self.pid = 0
        self.pidfd = -1

    def run(self) -> Executed:
        record = self.record
        first_pidfd = record.pidfd()
        if first_pidfd < 0:
            raise RailcarError(f"cannot exec in a stopped container: {record.container_id}: container not running")
        group = self._group()
        channel = handshake.Channel()
        job = Job(channel, Namespaces())
        job.process, job.wait = self.process, False
        # The filter is compiled while the child enters the container, where nothing depends on it earlier.
        job.filter_later = not (self.options.watched or self.profile.get("listenerPath"))
        job.emulated = os.path.exists("/proc/sys/fs/binfmt_misc/status")
        self.ours, replies = self._equip(job)
        if group is not None:
            job.task_fds = group.task_fds
        flags = 0
        for kind in record.data.get("namespaces") or ():
            flags |= TYPES[kind][0]
        cgroup_fd = group.clone_fd if group is not None else -1
        entering.preload(job)
        tracing.mark("equip")
        # From here on a process of the container may see the child: it must not look into it.
        set_dumpable(False)
        watched = self.options.watched
        outer = 0 if watched else flags & CLONE_NEWPID
        if os.geteuid() != 0:
            outer |= flags & CLONE_NEWUSER
        if outer:
            _enter(first_pidfd, outer)
        initial, final = self.process.affinity
        placing.affinity(0, initial, "process.execCPUAffinity.initial")
        if watched:
            self.pid, self.pidfd = guarded.clone(job, first_pidfd, flags, cgroup_fd, self.options.preserve)
        else:
            self._clone(job, first_pidfd, flags, outer, group)
        channel.in_host()
        try:
            if job.filter_later:
                self._arm(job)
                channel.go(*job.equipment())
            self._talk(channel, job, replies, final)
        except BaseException:
            self._undo()
            raise
        if group is not None:
            group.close()
        os.close(first_pidfd)
        return Executed(self.pid, self.pidfd, self.process.warnings)

    def _clone(self, job: Job, first_pidfd: int, flags: int, outer: int, group: "Any") -> None:
        gate = go = -1
        try:
            try:
                self.pid, self.pidfd = clone3(0, cgroup_fd=group.clone_fd if group is not None else -1, want_pidfd=True)
            except OSError as error:
                # A user may not bring a process into a group from outside of what was delegated: systemd does.
                if error.errno != errno.EACCES or group is None or group.unit is None:
                    raise
                gate, go = os.pipe2(os.O_CLOEXEC)
                self.pid, self.pidfd = clone3(0, want_pidfd=True)
        except OSError as error:
            raise StepError("exec", "make the process", error.errno or 0, birth.clone_hint(error.errno or 0)) from None
        if self.pid == 0:
            try:
                if go >= 0:
                    os.close(go)
                if gate < 0 or os.read(gate, 1):
                    job.channel.in_child()
                    entering.run(job, first_pidfd, flags & ~outer, bool(flags & CLONE_NEWUSER))
            finally:
                os._exit(1)
        if gate >= 0:
            self._attach(group, gate, go)

    def _attach(self, group: "Any", gate: int, go: int) -> None:
        """Have systemd put the child into the container's unit, then let it go on."""
        from railcar.cgroups import systemd

        try:
            systemd.attach(group, self.pid)
            os.write(go, b"G")
        except BaseException:
            self._undo()
            raise
        finally:
            os.close(gate)
            os.close(go)

    def _group(self) -> "Any":
        group = self.record.group()
        if group is None:
            return None
        for entry in self.options.cgroups:
            _descend(group.paths, entry)
        group.open(self.record.pid)
        return group

    def _equip(self, job: Job) -> "tuple[Any, int]":
        options, process = self.options, self.process
        first = 3 + options.preserve
        replies, write = os.pipe2(os.O_CLOEXEC)
        job.reply = _above(write, first)
        if process.label:
            job.proc = placing.procfs(first)
        if not job.filter_later:
            self._arm(job)
        ours = None
        if process.terminal:
            from railcar import console

            if options.console_socket:
                job.console = console.connect(options.console_socket)
            else:
                ours, job.console = console.pair()
        if job.filter is not None and job.filter.listener:
            from railcar import console, listening

            job.listener = console.connect(job.filter.listener, seccomp_plan.NO_AGENT)
            job.state = listening.state(self.record, job.filter, status="running")
        return ours, replies

    def _arm(self, job: Job) -> None:
        """The filter, and the stub that may load it."""
        job.filter = seccomp_plan.plan(self.profile, self.process, stub.supported())
        job.build_stub("user" in (self.record.data.get("namespaces") or ()))

    def _talk(self, channel: handshake.Channel, job: Job, replies: int, final: str) -> None:
        os.close(job.reply)
        for fd in (job.stub, job.proc):
            if fd >= 0:
                os.close(fd)
        job.close_sockets()
        if job.filter is not None and job.filter.by_host:
            from railcar import listening

            told = listening.state(self.record, job.filter, self.pid, "running")
            listening.hand_on(channel, self.pidfd, job.listener, told)
        kind, _ = channel.hear()
        if kind != handshake.READY:
            raise self._death()
        placing.apply(self.pid, self.process)
        placing.affinity(self.pid, final, "process.execCPUAffinity.final")
        for resource, soft, hard in self.process.rlimits:
            placing.limit(self.pid, resource, soft, hard)
        tracing.mark("ready")
        placing.pid_file(self.options.pid_file, self.pid)
        if self.options.pidfd_socket:
            placing.send_pidfd(self.options.pidfd_socket, self.pidfd, b"setns")
        if self.options.before_go is not None:
            self.options.before_go(self.ours)
        channel.go()
        watching.let_go()
        said = b""
        while piece := os.read(replies, 65536):
            said += piece
        os.close(replies)
        tracing.mark("exec")
        label = os.fsdecode(self.process.label).removeprefix("exec ")
        failed = starting.failure(said, os.fsdecode(self.process.arguments[0]), label)
        if failed is not None:
            raise failed
        if not said:
            raise self._death()

    def _death(self) -> RailcarError:
        status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        how = "ended"
        if status is not None and status.si_code != os.CLD_EXITED:
            how = f"was killed by signal {status.si_status}"
        return RailcarError(f"the process {how} before it could start the program in {self.record.container_id}")

    def _undo(self) -> None:
        try:
            pidfd_send_signal(self.pidfd, 9)
        except OSError:
            pass
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        if self.options.pid_file:
            try:
                os.unlink(self.options.pid_file)
            except OSError:
                pass


def _enter(pidfd: int, flags: int) -> None:
    try:
        setns(pidfd, flags)
    except OSError as error:
        raise StepError("enter the container's namespaces", "", error.errno or 0) from None


def _above(fd: int, first: int) -> int:
    if fd >= first:
        return fd
    import fcntl

    higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first)
    os.close(fd)
    return higher


def _descend(paths: dict[str, str], entry: str) -> None:
    """Apply one --cgroup: `PATH` for all controllers, or `cpu,memory:PATH`. Raises RailcarError."""
    names, colon, path = entry.partition(":")
    if not colon:
        names, path = "", entry
    for name in names.split(",") if names else list(paths):
        if name not in paths:
            raise RailcarError(f"--cgroup {entry}: unknown controller {name} of this container: bad sub cgroup path")
        target = os.path.normpath(paths[name] + "/" + path)
        if target != paths[name] and not target.startswith(paths[name] + "/"):
            raise RailcarError(f"--cgroup: {path} is not a sub cgroup path of {paths[name]}: bad sub cgroup path")
        if not os.path.isdir(target):
            raise RailcarError(
                f"--cgroup {entry}: adding pid to {target}/cgroup.procs: no such file or directory: bad sub cgroup path"
            )
        paths[name] = target


def process_of(base: "dict[str, Any]", arguments: list[str]) -> "dict[str, Any]":
    """The container's own process as the start for an exec: its user, environment, directory and limits."""
    if not base:
        base = {"cwd": "/", "user": {"uid": 0, "gid": 0}}
    made = {key: value for key, value in base.items() if key not in ("args", "commandLine", "consoleSize", "terminal")}
    made["args"] = arguments
    return made


def user_of(text: str) -> "dict[str, Any]":
    """`UID[:GID]`, ASCII digits only, each a valid id. Raises ConfigError."""
    uid, colon, gid = text.partition(":")
    found: dict[str, Any] = {"uid": _id(uid, text), "gid": 0}
    if colon:
        found["gid"] = _id(gid, text)
    return found


def _id(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or int(digits) > config.MAXIMUM_ID:
        raise ConfigError(f'--user is "{text}": it is UID or UID:GID, numbers from 0 to {config.MAXIMUM_ID}')
    return int(digits)
