"""Stage 2: the child between the clone and the stub. Everything it needs was planned, opened and imported before.

Whatever fails is told to the host's side as (step, subject, errno, hint), and the child ends.
"""

import os

from ocicommon.linux import lockdown
from ocicommon.linux.namespaces import CLONE_NEWCGROUP, CLONE_NEWTIME, setns, unshare
from ocicommon.linux.process import execve, execveat, set_dumpable, set_parent_death_signal, strings

from railcar import birth, handshake, identity, lookup, placing, tracing
from railcar.errors import StepError
from railcar.plan.namespaces import offsets_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from railcar.job import Job
    from railcar.plan.namespaces import Namespaces
    from railcar.plan.process import Process
    from railcar.plan.seccomp import Filter


def run(job: "Job", joined: bool) -> None:
    """The whole of the child of `create`; does not return. `joined`: the process between entered namespaces by path."""
    try:
        _prepare(job, joined)
        _mount(job)
        if job.late is not None:
            _join_memory(job)
            job.late.enter(job.descriptors())
        if job.terminal >= 0:
            from railcar import console

            console.take(job.terminal)
        finish(job)
    except BaseException as error:
        job.channel.tell_error(error)
    os._exit(1)


def _prepare(job: "Job", joined: bool) -> None:
    set_parent_death_signal(9)
    set_dumpable(job.namespaces.new_user)
    identity.reset_signals()
    os.setsid()
    offsets = _open_offsets(job.namespaces)
    if job.namespaces.new_user or job.placed or joined:
        job.channel.ask(handshake.MAPS)
    if job.namespaces.new_user or joined:
        birth.become_root(job.process is not None and job.process.groups is None)
        set_parent_death_signal(9)  # the change of ids cleared it
        set_dumpable(False)
    if not joined:
        birth.join(job.opened)
    if "network" in job.namespaces.types and not job.namespaces.path("network"):
        _loopback_up()
    if job.keyring:
        _new_keyring(job.keyring)
    _join_groups(job)
    placing.all_cpus()
    _unshare_late(job.namespaces, offsets)


def _join_groups(job: "Job") -> None:
    """Join the cgroups of v1: late among the first steps, since the host's side may still be making them."""
    if job.joins_later:
        job.task_fds = job.channel.wait()[1]
    if job.memory_last and job.task_fds:
        job.memory_group = job.task_fds.pop()
    for fd in job.task_fds:
        os.write(fd, b"0")
        os.close(fd)


def _open_offsets(namespaces: "Namespaces") -> int:
    """The file of the time offsets, opened while it is ours: as root of a user namespace, undumpable, it is not."""
    if not namespaces.offsets:
        return -1
    try:
        return os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError("time offsets", str(namespaces.offsets), error.errno or 0) from None


def _unshare_late(namespaces: "Namespaces", offsets: int) -> None:
    if namespaces.late & CLONE_NEWCGROUP:
        unshare(CLONE_NEWCGROUP)
    if namespaces.late & CLONE_NEWTIME:
        unshare(CLONE_NEWTIME)
        if offsets >= 0:
            try:
                os.write(offsets, offsets_text(namespaces.offsets).encode())
                os.close(offsets)
            except OSError as error:
                raise StepError("time offsets", str(namespaces.offsets), error.errno or 0) from None
        # The new namespace takes in children; entering it is a second step, and freezes the offsets.
        fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        setns(fd, CLONE_NEWTIME)
        os.close(fd)


def _loopback_up() -> None:
    """SIOCGIFFLAGS and SIOCSIFFLAGS. netdevice(7)"""
    import fcntl
    from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, socket

    try:
        link = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError:
        return  # a kernel without IPv4
    try:
        request = fcntl.ioctl(link.fileno(), 0x8913, b"lo".ljust(40, b"\0"))
        flags = int.from_bytes(request[16:18], "little") | 1
        fcntl.ioctl(link.fileno(), 0x8914, b"lo".ljust(16, b"\0") + flags.to_bytes(2, "little").ljust(24, b"\0"))
    finally:
        link.close()


def _new_keyring(name: str) -> None:
    from ocicommon.linux import keyring

    try:
        keyring.join_session(name)
    except OSError as error:
        if error.errno not in (38, 1, 122, 13):  # ENOSYS, EPERM under a filter; EDQUOT: a user with many containers
            raise


def say_pid(job: "Job") -> None:
    """The pid as the host knows it goes with a seccomp listener: while /proc is still the host's."""
    if job.listener is not None:
        job.state = job.state.replace(b'"pid":0', b'"pid":' + os.readlink(b"/proc/self"))


def _mount(job: "Job") -> None:
    """All of the root, and being in it. A terminal is opened, and becomes `job.terminal`."""
    tracing.mark("namespaces")
    if job.builder is not None:
        job.builder.lend = job.channel.lend if job.builder.plan.user_namespace else None
        job.builder.mount()
        tracing.mark("mounts")
    state = b""
    if job.host_acts:
        state = job.channel.ask(handshake.MOUNTED)
    else:
        job.channel.tell(handshake.MOUNTED)
    lockdown.lock()
    if job.lock >= 0:
        os.close(job.lock)  # a directory of the host's: nothing in the container may lead to it
    if job.create_hooks:
        from railcar import hooks

        job.told = hooks.told(
            hooks.run("createContainer", job.create_hooks, state, f"/proc/self/fd/{job.builder.root_fd}")
        )
    say_pid(job)
    if job.console is not None:
        job.terminal = _terminal(job)
    if job.builder is not None:
        job.builder.enter()
        tracing.mark("root")


def _terminal(job: "Job") -> int:
    from railcar import console

    assert job.process is not None
    root = job.builder.root_fd
    ptmx, peer = console.open_pair(root, job.process.console_size)
    console.bind(root, peer, job.builder.sources.modern)
    console.send(job.console, ptmx)
    os.close(ptmx)
    job.console.close()
    return peer


def _pass_on(job: "Job", inherited: bool) -> None:
    """Whether the stub gets its descriptors."""
    for fd in (job.go, job.reply, job.proc):
        if fd >= 0:
            os.set_inheritable(fd, inherited)


def finish(job: "Job") -> None:
    """From inside the root on: identity, the report that all is ready, and the stub. Also the end of `exec`'s child."""
    process = job.process
    if process is None:
        _idle(job)
        return
    if job.filter_later:
        job.take(*job.channel.wait())
    from railcar import console

    process.environment = identity.with_home(process.environment, process.uid)
    try:
        console.own_stdio(process.uid)
    except StepError as error:
        if error.errno not in (1, 13, 22, 30):
            raise
    if job.memory_policy is not None:
        from ocicommon.linux.scheduling import set_mempolicy

        set_mempolicy(*job.memory_policy)
    _join_memory(job)
    if job.waits_in_python():
        _wait_in_python(job, process)
        return
    load = _loader(job, job.filter) if job.filter is not None and job.filter.place == "python" else None
    # What the exec takes is built before a filter is in, which may not let memory be asked for.
    argv: list[Any] = []
    environment = strings(process.environment)

    def look_up() -> None:
        path = lookup.find(process.arguments[0], process.search, job.emulated)
        argv.append(strings([b"railcar", path, *process.arguments]))
        if load is not None:
            identity.limit(process)
        tracing.mark("identity")  # a filter may not let the clock be asked, where that takes a system call

    _pass_on(job, True)
    identity.become(process, load, look_up, stub=True)
    # A change of ids cleared it; a failing host side takes the child with it until the state is written.
    set_parent_death_signal(9)
    job.channel.ask(handshake.READY, job.told)
    set_parent_death_signal(0)
    if load is None:
        identity.limit(process)
    execveat(job.stub, "", argv[0], environment)


def _join_memory(job: "Job") -> None:
    if job.memory_group >= 0:
        os.write(job.memory_group, b"0")
        os.close(job.memory_group)
        job.memory_group = -1


def _loader(job: "Job", filter_: "Filter") -> "Callable[[], None]":
    """A function that loads the filter, and hands a listener on."""

    def load() -> None:
        from ocicommon.linux import seccomp

        if filter_.by_host:
            from railcar import listening

            listening.announce(job.channel)
        listener = seccomp.load(filter_.program, filter_.flags)
        if listener >= 0 and not filter_.by_host:
            from ocicommon.linux.sockets import send_fds

            send_fds(job.listener, job.state, [listener])
            os.close(listener)

    return load


def _idle(job: "Job") -> None:
    """No process in the config: there is nothing to start."""
    _join_memory(job)
    job.channel.ask(handshake.READY, job.told)
    set_parent_death_signal(0)
    os._exit(0)


def _wait_in_python(job: "Job", process: "Process") -> None:
    """Wait for `start` here; then hooks, identity, filter, exec. What fails goes to the reply, as the stub's would."""
    state = job.channel.ask(handshake.READY, job.told)
    set_parent_death_signal(0)
    job.channel.child.close()
    if job.wait:
        import _signal  # type: ignore[import-not-found]

        # As process 1 it would not die of SIGTERM without a handler.
        _signal.signal(15, lambda number, frame: os._exit(128 + number))
        os.read(job.go, 1)
        _signal.signal(15, _signal.SIG_DFL)
    try:
        if job.start_hooks:
            from railcar import hooks

            become = _becomes_like(job, process)
            ran = hooks.run("startContainer", job.start_hooks, state, environment=process.environment, become=become)
            told = hooks.told(ran)
            os.write(job.reply, handshake.HOOKS + len(told).to_bytes(4, "little") + told)
        _start_from_python(job, process)
    except BaseException as error:
        # As text: `start` tells it from the stub's four bytes by the first letter.
        os.write(job.reply, handshake.encode_error(error))
    os._exit(127)


def _becomes_like(job: "Job", process: "Process") -> "Callable[[], None]":
    """What makes a startContainer hook's process like the container's: its user, rights, limits and filter.

    But for a filter with a listener: the agent gets that once, with the process itself.
    """
    filter_ = job.filter if job.filter is not None and not job.filter.listener else None
    load = _loader(job, filter_) if filter_ is not None else None

    def become() -> None:
        identity.become(process, load, lambda: identity.limit(process))

    return become


def _start_from_python(job: "Job", process: "Process") -> None:
    load = _loader(job, job.filter) if job.filter is not None and job.filter.place != "stub" else None
    use_stub = job.stub >= 0 and not (job.filter is not None and job.filter.place == "last")
    program: list[Any] = []
    environment = strings(process.environment)

    def look_up() -> None:
        path = lookup.find(process.arguments[0], process.search, job.emulated)
        program.append(path)
        program.append(strings([b"railcar", path, *process.arguments] if use_stub else process.arguments))
        if not use_stub:
            os.write(job.reply, b"S")
        identity.limit(process)

    _pass_on(job, use_stub)
    if use_stub and job.wait:
        os.write(job.go, b"G")  # the stub waits for a byte as well: this one is for it
    identity.become(process, load, look_up, stub=use_stub)
    if use_stub:
        execveat(job.stub, "", program[1], environment)
    execve(program[0], program[1], environment)
