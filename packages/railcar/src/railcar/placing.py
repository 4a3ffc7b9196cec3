"""What is applied to a process from the host's side, by pid: it may need capabilities that the container has not."""

import os

from ocicommon.linux.process import prlimit, use_all_cpus

from railcar import state
from railcar.errors import ConfigError, RailcarError, StepError, errno_text
from railcar.plan.process import Process, cpu_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check_preserved(count: int) -> None:
    """Every descriptor that --preserve-fds promises must be open: else one of ours would take its number."""
    for number in range(3, 3 + count):
        try:
            os.fstat(number)
        except OSError:
            raise RailcarError(f"--preserve-fds {count}: descriptor {number} is not open") from None


def apply(pid: int, process: Process, cpus: str = "") -> None:
    """The OOM score, scheduling and I/O priority of a process that waits. `cpus`: its cpuset. Raises StepError."""
    if process.oom_score_adj is not None:
        oom_score(pid, process.oom_score_adj)
    if process.scheduler is not None:
        from ocicommon.linux.scheduling import sched_setattr

        policy, nice, priority, flags, runtime, deadline, period = process.scheduler
        try:
            sched_setattr(
                pid,
                policy,
                flags=flags,
                nice=nice,
                priority=priority,
                runtime=runtime,
                deadline=deadline,
                period=period,
            )
        except OSError as error:
            # sched_setattr(2): a deadline needs all CPUs of the machine.
            hint = f"process scheduler can't be used together with AllowedCPUs ({cpus})" if cpus else ""
            raise StepError("process.scheduler", "", error.errno or 0, hint) from None
    if process.io_priority is not None:
        from ocicommon.linux.scheduling import ioprio_set

        try:
            ioprio_set(pid, *process.io_priority)
        except OSError as error:
            raise StepError("process.ioPriority", "", error.errno or 0) from None


def oom_score(pid: int, value: int) -> None:
    """Write /proc/PID/oom_score_adj. Lowering needs CAP_SYS_RESOURCE; a value that is there needs nothing."""
    path = f"/proc/{pid}/oom_score_adj"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.read(fd, 16).strip() != str(value).encode():
                os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        hint = "lowering it needs CAP_SYS_RESOURCE" if error.errno == 13 else ""
        raise StepError("process.oomScoreAdj", str(value), error.errno or 0, hint) from None


def limit(pid: int, resource: int, soft: int, hard: int) -> None:
    """Raise a resource limit of a process that waits. Raises StepError.

    A limit at or below our own needs no privilege over a process that has changed its ids: it sets that itself
    (`identity.limit`), as the last thing, or it would bind the set-up.
    """
    if hard <= prlimit(0, resource)[1]:
        return
    try:
        prlimit(pid, resource, soft, hard)
    except OSError as error:
        from ocicommon.linux.process import RESOURCES

        name = next((key for key, number in RESOURCES.items() if number == resource), str(resource))
        hint = "raising a hard limit needs CAP_SYS_RESOURCE" if error.errno == 1 else ""
        raise StepError("process.rlimits", f"{name} {soft}:{hard}", error.errno or 0, hint) from None


def affinity(pid: int, text: str, where: str) -> None:
    """Pin a process to a list of CPUs. Raises ConfigError, StepError."""
    if not text:
        return
    cpus = cpu_list(text, where)
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError as error:
        raise StepError(where, text, error.errno or 0, "is none of these CPUs usable here?") from None


def all_cpus() -> None:
    """Undo an inherited CPU affinity: a container may use what its cpuset allows, whatever its maker is pinned to."""
    try:
        use_all_cpus()
    except OSError:
        return  # none of them is in the cpuset


def memory_policy(given: "dict[str, Any]") -> tuple[int, int, list[int]]:
    """(mode, flags, nodes) of linux.memoryPolicy. Raises ConfigError."""
    from ocicommon.linux.scheduling import MEMORY_FLAGS, MEMORY_POLICIES

    mode = given.get("mode")
    if mode not in tuple(MEMORY_POLICIES):
        raise ConfigError(f"linux.memoryPolicy.mode is {mode!r}: it is one of {', '.join(MEMORY_POLICIES)}")
    flags = 0
    named = given.get("flags") or []
    for flag in named if type(named) is list else [named]:
        if flag not in tuple(MEMORY_FLAGS):
            raise ConfigError(f'linux.memoryPolicy.flags has "{flag}": the flags are {", ".join(MEMORY_FLAGS)}')
        flags |= MEMORY_FLAGS[flag]
    nodes = given.get("nodes") or ""
    if type(nodes) is not str:
        raise ConfigError(f"linux.memoryPolicy.nodes is {nodes!r}: it is a list of nodes like 0-1")
    return MEMORY_POLICIES[mode], flags, cpu_list(nodes, "linux.memoryPolicy.nodes") if nodes else []


def terminal(path: str) -> int:
    """A descriptor of an existing terminal, which the container gets as its own. Raises StepError."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError("--console", path, error.errno or 0) from None
    if not os.isatty(fd):
        os.close(fd)
        raise StepError("--console", path, 25)
    return fd


def procfs(first: int) -> int:
    """A descriptor, from number `first` on, of a procfs that nothing in the container can cover."""
    import fcntl

    fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first)
    os.close(fd)
    return higher


def send_pidfd(path: str, pidfd: int, payload: bytes) -> None:
    """Hand a pidfd to who listens on a Unix socket. Raises StepError."""
    from ocicommon.linux.sockets import send_fds

    from railcar import console

    sock = console.connect(path, "pidfd socket")
    try:
        send_fds(sock, payload, [pidfd])
    except OSError as error:
        raise StepError("pidfd socket", path, error.errno or 0) from None
    finally:
        sock.close()


def pid_file(path: str, pid: int) -> None:
    """Write the pid, without a newline (containerd reads it as a number), in one step for who polls the file."""
    if not path:
        return
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    try:
        state.write(temporary, str(pid).encode(), 0o644)
        os.rename(temporary, path)
    except OSError as error:
        raise RailcarError(f"cannot write the pid file {path}: {errno_text(error.errno or 0)}") from None
