"""The child of `exec`: into the namespaces by the pidfd of the container's first process, then on as at `create`."""

import os

from ocicommon.linux import lockdown
from ocicommon.linux.namespaces import setns
from ocicommon.linux.process import set_dumpable, set_parent_death_signal

from railcar import birth, identity, inside, placing
from railcar.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.job import Job


def preload(job: "Job") -> None:
    """Import what is needed inside: there an import would run the container's code."""
    wanted = ["railcar.console", "railcar.lookup"]
    if job.filter is not None or job.filter_later:
        wanted += ["ocicommon.linux.seccomp", "ocicommon.linux.sockets"]
    if job.listener is not None:
        wanted.append("railcar.listening")
    lockdown.preload(wanted)


def run(job: "Job", pidfd: int, flags: int, in_user_namespace: bool) -> None:
    """The whole of the child; does not return. `flags`: the namespaces that are still to be entered, all at once."""
    try:
        set_parent_death_signal(9)
        identity.reset_signals()
        os.setsid()
        for fd in job.task_fds:
            os.write(fd, b"0")
        if job.process is not None and not job.process.affinity[0]:
            placing.all_cpus()
        inside.say_pid(job)
        lockdown.lock()
        if flags:
            try:
                setns(pidfd, flags)
            except OSError as error:
                raise StepError("enter the container's namespaces", "", error.errno or 0) from None
        if in_user_namespace:
            birth.become_root(job.process is not None and job.process.groups is None)
            set_parent_death_signal(9)
        set_dumpable(False)
        if job.console is not None:
            _terminal(job)
        inside.finish(job)
    except BaseException as error:
        job.channel.tell_error(error)
    os._exit(1)


def _terminal(job: "Job") -> None:
    from railcar import console

    assert job.process is not None
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    ptmx, peer = console.open_pair(root, job.process.console_size)
    os.close(root)
    console.send(job.console, ptmx)
    os.close(ptmx)
    job.console.close()
    console.take(peer)
