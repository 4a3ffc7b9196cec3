"""`create` and `exec` among processes that may trace ours: from a sealed copy of the interpreter, and born inside.

Being non-dumpable keeps out all but those with CAP_SYS_PTRACE in the user namespace of our memory. These could take our
program, the host's interpreter, keep it and write to it once nobody runs it; or our descriptors and our rights before
we are inside. So the command executes itself again from a sealed file, and a process that they cannot see enters the
container, does what takes the host's files, and drops what is the host's, before it makes the child that they see.
"""

import _socket
import os
import sys

from ocicommon.linux import lockdown
from ocicommon.linux.capabilities import bit
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.namespaces import CLONE_NEWPID, namespace_type, setns
from ocicommon.linux.process import CLONE_PARENT, clone3, close_range, pidfd_open, set_parent_death_signal
from ocicommon.linux.sealing import execute_again
from ocicommon.linux.sockets import receive_with_credentials, want_credentials

from railcar import birth, entering, snapshot, stub
from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from railcar.handshake import Channel
    from railcar.job import Job
    from railcar.plan.container import Plans
    from railcar.state import Record

_TRACE = 1 << bit("CAP_SYS_PTRACE")
#: Of so many processes the rights are read; of more, the worst is assumed.
_MOST = 64
_SEALED = "railcar_sealed"
_unused: list[int] = []


def watched(pid_namespace: int) -> bool:
    """Whether a process of this pid namespace (a descriptor) may trace ours, and sees it only because it is inside."""
    ours = os.stat("/proc/self/ns/pid")
    space = os.fstat(pid_namespace)
    if (ours.st_dev, ours.st_ino) == (space.st_dev, space.st_ino):
        return False
    user = os.stat("/proc/self/ns/user").st_ino
    for number, (proc, pid) in enumerate(_members(pid_namespace, space)):
        if number == _MOST:
            return True
        try:
            # In a user namespace of its own, no right of it reaches our memory.
            if os.stat(f"{pid}/ns/user", dir_fd=proc).st_ino == user and _bounding(proc, pid) & _TRACE:
                return True
        except OSError:
            continue  # it is gone
    return False


def _members(pid_namespace: int, space: os.stat_result) -> "Iterator[tuple[int, str]]":
    """(procfs, name in it) of each process in a pid namespace."""
    proc = procfs_of(pid_namespace)
    every = proc < 0
    if every:
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for pid in os.listdir(proc):
            if not pid.isdigit():
                continue
            if every:
                try:
                    found = os.stat(f"{pid}/ns/pid", dir_fd=proc)
                except OSError:
                    continue
                if (found.st_dev, found.st_ino) != (space.st_dev, space.st_ino):
                    continue
            yield proc, pid
    finally:
        os.close(proc)


def procfs_of(pid_namespace: int) -> int:
    """A procfs that shows this pid namespace; -1 where the kernel (before Linux 6.17) makes none but the caller's."""
    from ocicommon.linux import mounts

    context = -1
    try:
        context = mounts.fsopen("proc")
        mounts.fsconfig_set_fd(context, "pidns", pid_namespace)
        mounts.fsconfig_create(context)
        mount = mounts.fsmount(context)
        _unused.append(mount)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    except SyscallError:
        return -1
    finally:
        if context >= 0:
            os.close(context)


def let_go() -> None:
    """Close the mounts of `procfs_of`. Each waits for an RCU grace period: a time to wait for something else anyway."""
    while _unused:
        os.close(_unused.pop())


def _bounding(proc: int, pid: str) -> int:
    """A process's bounding set: what it could come by."""
    fd = os.open(f"{pid}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        text = os.read(fd, 8192)
    finally:
        os.close(fd)
    return int(text.partition(b"CapBnd:")[2].split(None, 1)[0], 16)


def needed(record: "Record") -> bool:
    """Whether an `exec` in this container is watched."""
    if "pid" not in (record.data.get("namespaces") or ()):
        return False  # all of the host's processes see it
    try:
        space = os.open(f"/proc/{record.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # it is gone, and the exec will say so
    try:
        return watched(space)
    finally:
        os.close(space)


def late(plans: "Plans", preserve: int) -> "Late | None":
    """For a container that joins a pid namespace. Where that is watched, this command goes on sealed, and with the
    result the container's first process enters it last; None: it is born there.

    It is also born there where it has to be in a user namespace by then, or to say its pid itself (to a seccomp
    agent), and where the kernel cannot make a procfs for it beforehand. Raises RailcarError.
    """
    path = plans.namespaces.path("pid")
    try:
        space = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # who opens it for the container will say why
    try:
        if namespace_type(space) == CLONE_NEWPID and watched(space):
            seal()
            early = plans.namespaces.needs_intermediate or (plans.filter is not None and plans.filter.listener)
            shows = -1 if early else procfs_of(space)
            if shows >= 0:
                os.close(shows)
                return Late(os.dup(space), preserve)
    except OSError:
        return None
    finally:
        os.close(space)
    return None


def seal() -> None:
    """Go on as the same command in a program that nobody can write to; returns when this one is it already."""
    try:
        # Not from the snapshot: what they may see is to tell nothing of the memory of later commands.
        execute_again(_SEALED, stub.executable, sys.executable if snapshot.restored() else "/proc/self/exe")
    except OSError as error:
        raise StepError("execute a sealed copy of the interpreter", sys.executable, error.errno or 0) from None


class Birth:
    """The host's side of a child that another process of ours makes: its pid is the kernel's word, not a message."""

    __slots__ = ("ours", "theirs")

    def __init__(self) -> None:
        self.ours, self.theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        want_credentials(self.ours)

    def pid(self, between: int) -> int:
        """The pid of the child, once the process between has said it and ended. 0 when it died without a word."""
        self.theirs.close()
        try:
            while True:
                payload, sender = receive_with_credentials(self.ours, 64)
                if not payload:
                    return 0
                if sender is not None and sender[0] == between:
                    return int(payload)
        finally:
            os.waitpid(between, 0)
            self.ours.close()

    def make(self, job: "Job", preserve: int) -> None:
        """In the process between: drop what is the host's, make the child, say who it is, and end. Returns in the
        child alone, whose parent is that of the process between."""
        _close_all_but(job, self.theirs.fileno(), 3 + preserve)
        pid, _ = clone3(CLONE_PARENT)
        if pid == 0:
            self.theirs.close()
            return
        self.theirs.send(str(pid).encode())
        os._exit(0)


def clone(job: "Job", pidfd: int, flags: int, cgroup_fd: int, preserve: int) -> tuple[int, int]:
    """`exec`: (pid, pidfd) of a child of ours that is in the container's namespaces from its birth.

    Raises RailcarError.
    """
    born = Birth()
    try:
        between, _ = clone3(0, cgroup_fd=cgroup_fd)
    except OSError as error:
        raise StepError("exec", "make the process", error.errno or 0, birth.clone_hint(error.errno or 0)) from None
    if between == 0:
        try:
            born.ours.close()
            job.channel.in_child()
            _between(job, born, pidfd, flags, preserve)
        except BaseException as error:
            job.channel.tell_error(error)
        finally:
            os._exit(1)
    pid = born.pid(between)
    if pid:
        # Our own child, and not waited for: the number cannot be another's.
        return pid, pidfd_open(pid)
    job.channel.in_host()
    job.channel.hear()
    raise RailcarError("the process that enters the container died before it was inside")


def _between(job: "Job", born: Birth, pidfd: int, flags: int, preserve: int) -> None:
    """Enter, and make the child: nobody inside sees this one."""
    set_parent_death_signal(9)
    for fd in job.task_fds:
        os.write(fd, b"0")
    job.task_fds = []
    lockdown.lock()
    try:
        setns(pidfd, flags)
    except OSError as error:
        raise StepError("enter the container's namespaces", "", error.errno or 0) from None
    born.make(job, preserve)
    entering.run(job, -1, 0, False)


class Late:
    """How a container comes into a watched pid namespace that exists: only once its root is entered.

    Until then its process has the host's files and all the host's rights; it stays in the runtime's pid namespace.
    `space`: the pid namespace; `proc_option`: what has a procfs of the container's show that one.
    """

    __slots__ = ("born", "preserve", "proc_option", "space")

    def __init__(self, space: int, preserve: int) -> None:
        self.space, self.preserve = space, preserve
        self.born = Birth()
        self.proc_option = f"pidns=/proc/self/fd/{space}"

    def without_pid(self, opened: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """The namespaces that are joined at once; of the opened ones the pid namespace is let go."""
        for kind, _, fd in opened:
            if kind == "pid":
                os.close(fd)
        return [entry for entry in opened if entry[0] != "pid"]

    def enter(self, job: "Job") -> None:
        """In the container's process, in its root: go on as another one, which is inside."""
        try:
            setns(self.space, CLONE_NEWPID)
        except OSError as error:
            raise StepError('enter the namespace "pid"', "", error.errno or 0) from None
        self.born.make(job, self.preserve)
        set_parent_death_signal(9)
        os.setsid()

    def follow(self, between: birth.Born, channel: "Channel") -> birth.Born:
        """On the host's side: the process that goes on for the one that made the mounts, which has ended.

        Raises RailcarError.
        """
        pid = self.born.pid(between.pid)
        if not pid:
            channel.hear()
            raise RailcarError("the container's first process died before it was in its pid namespace")
        os.close(between.pidfd)
        return birth.Born(pid, pidfd_open(pid), between.mapped)


def _close_all_but(job: "Job", said_on: int, first: int) -> None:
    kept = {said_on, job.channel.child.fileno(), job.stub, job.go, job.reply, job.proc, job.memory_group, job.terminal}
    kept.update(sock.fileno() for sock in (job.console, job.listener) if sock is not None)
    for fd in sorted(kept):
        if fd >= first:
            if fd > first:
                close_range(first, fd - 1)
            first = fd + 1
    close_range(first)
