"""`exec` among processes that may trace ours: from a sealed copy of the interpreter, and born inside.

Being non-dumpable keeps out all but those with CAP_SYS_PTRACE in the user namespace of our memory. These could take our
program, the host's interpreter, keep it and write to it once nobody runs it; or our descriptors and our rights before
we are inside. So this command executes itself again from a sealed file, and a process that they cannot see enters the
container and drops what is the host's, before it makes the child that they see.
"""

import _socket
import os
import sys

from ocicommon.linux import lockdown
from ocicommon.linux.capabilities import bit
from ocicommon.linux.namespaces import setns
from ocicommon.linux.process import CLONE_PARENT, clone3, close_range, pidfd_open, set_parent_death_signal
from ocicommon.linux.sealing import execute_again
from ocicommon.linux.sockets import receive_with_credentials, want_credentials

from railcar import birth, entering, stub
from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.inside import Job
    from railcar.state import Record

_TRACE = 1 << bit("CAP_SYS_PTRACE")
#: Of so many processes of a container the rights are read; of more, the worst is assumed.
_MOST = 64
_SEALED = "railcar_sealed"


def needed(record: "Record") -> bool:
    """Whether a process of the container may trace ours, and cannot do so anyway."""
    namespaces = record.data.get("namespaces") or ()
    # In a user namespace of its own, no right of the container reaches our memory; without a pid namespace of its own
    # it sees all of the host's processes.
    if "user" in namespaces or "pid" not in namespaces:
        return False
    group = record.group()
    pids = {record.pid, *(group.pids() if group is not None else ())}
    return len(pids) > _MOST or any(_bounding(pid) & _TRACE for pid in pids)


def _bounding(pid: int) -> int:
    """A process's bounding set: what it could come by. 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            text = file.read(8192)
    except OSError:
        return 0
    return int(text.partition(b"CapBnd:")[2].split(None, 1)[0] or b"0", 16)


def seal() -> None:
    """Go on as the same command in a program that nobody can write to; returns when this one is it already."""
    try:
        execute_again(_SEALED, stub.executable)
    except OSError as error:
        raise StepError("execute a sealed copy of the interpreter", sys.executable, error.errno or 0) from None


def clone(job: "Job", pidfd: int, flags: int, cgroup_fd: int, preserve: int) -> tuple[int, int]:
    """(pid, pidfd) of a child of ours that is in the container's namespaces from its birth. Raises RailcarError."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    want_credentials(ours)
    try:
        between, _ = clone3(0, cgroup_fd=cgroup_fd)
    except OSError as error:
        raise StepError("exec", "make the process", error.errno or 0, birth.clone_hint(error.errno or 0)) from None
    if between == 0:
        try:
            ours.close()
            job.channel.in_child()
            _between(job, theirs, pidfd, flags, preserve)
        except BaseException as error:
            job.channel.tell_error(error)
        finally:
            os._exit(1)
    theirs.close()
    try:
        pid = _born(ours, between)
    finally:
        os.waitpid(between, 0)
        ours.close()
    if pid:
        # Our own child, and not waited for: the number cannot be another's.
        return pid, pidfd_open(pid)
    job.channel.in_host()
    job.channel.hear()
    raise RailcarError("the process that enters the container died before it was inside")


def _born(ours: "_socket.socket", between: int) -> int:
    """The pid of the child, by the word of the process between: the kernel says who sent what. 0 when it died."""
    while True:
        payload, sender = receive_with_credentials(ours, 64)
        if not payload:
            return 0
        if sender is not None and sender[0] == between:
            return int(payload)


def _between(job: "Job", theirs: "_socket.socket", pidfd: int, flags: int, preserve: int) -> None:
    """Enter, drop what is the host's, make the child, say who it is, and end: nobody inside sees this one."""
    set_parent_death_signal(9)
    for fd in job.task_fds:
        os.write(fd, b"0")
    job.task_fds = []
    lockdown.lock()
    try:
        setns(pidfd, flags)
    except OSError as error:
        raise StepError("enter the container's namespaces", "", error.errno or 0) from None
    _close_all_but(job, theirs.fileno(), 3 + preserve)
    pid, _ = clone3(CLONE_PARENT)
    if pid == 0:
        theirs.close()
        entering.run(job, -1, 0, False)
    theirs.send(str(pid).encode())
    os._exit(0)


def _close_all_but(job: "Job", said_on: int, first: int) -> None:
    kept = {said_on, job.channel.child.fileno(), job.stub, job.reply, job.proc}
    kept.update(sock.fileno() for sock in (job.console, job.listener) if sock is not None)
    for fd in sorted(kept):
        if fd >= first:
            if fd > first:
                close_range(first, fd - 1)
            first = fd + 1
    close_range(first)
