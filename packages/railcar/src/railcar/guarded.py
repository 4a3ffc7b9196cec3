"""`create` and `exec` among processes that may trace ours: from a sealed copy of the interpreter, and born inside.

Being non-dumpable keeps out all but those with CAP_SYS_PTRACE in the user namespace of our memory. These could take our
program, the host's interpreter, keep it and write to it once nobody runs it; or our descriptors and our rights before
we are inside. So the command executes itself again from a sealed file, and a process that they cannot see enters the
container, does what takes the host's files, and drops what is the host's, before it makes the child that they see.
"""

import os
import sys

from ocicommon.linux import lockdown
from ocicommon.linux.namespaces import CLONE_NEWPID, namespace_type, setns
from ocicommon.linux.process import clone3, pidfd_open, set_parent_death_signal
from ocicommon.linux.sealing import execute_again

from railcar import between, birth, entering, snapshot, stub, watching
from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.job import Job
    from railcar.plan.container import Plans

_SEALED = "railcar_sealed"


def late(plans: "Plans", preserve: int) -> "between.Late | None":
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
        if namespace_type(space) == CLONE_NEWPID and watching.watched(space):
            seal()
            early = plans.namespaces.needs_intermediate or (plans.filter is not None and plans.filter.listener)
            shows = -1 if early else watching.procfs_of(space)
            if shows >= 0:
                os.close(shows)
                return between.Late(os.dup(space), preserve)
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


def clone(job: "Job", pidfd: int, flags: int, cgroup_fd: int, preserve: int) -> tuple[int, int]:
    """`exec`: (pid, pidfd) of a child of ours that is in the container's namespaces from its birth.

    Raises RailcarError.
    """
    born = between.Birth()
    try:
        carrier, _ = clone3(0, cgroup_fd=cgroup_fd)
    except OSError as error:
        raise StepError("exec", "make the process", error.errno or 0, birth.clone_hint(error.errno or 0)) from None
    if carrier == 0:
        try:
            born.ours.close()
            job.channel.in_child()
            _between(job, born, pidfd, flags, preserve)
        except BaseException as error:
            job.channel.tell_error(error)
        finally:
            os._exit(1)
    pid = born.pid(carrier)
    if pid:
        # Our own child, and not waited for: the number cannot be another's.
        return pid, pidfd_open(pid)
    job.channel.in_host()
    job.channel.hear()
    raise RailcarError("the process that enters the container died before it was inside")


def _between(job: "Job", born: between.Birth, pidfd: int, flags: int, preserve: int) -> None:
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
    born.make(job.descriptors(), preserve)
    entering.run(job, -1, 0, False)
