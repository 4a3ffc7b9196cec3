"""The process between crashcart and the command: born in the container's pid namespace, first and last of the session.
Where the container may trace it, it is born there only when all is set up (``guarded.py``).

It enters the rest of the container, starts the command, passes signals on to it, and ends every process the session
has left before it ends itself. All that it says goes to crashcart over one socket; it keeps no descriptor of the host.

::

    step NAME              what is about to be done
    terminal               with the controlling end of the command's terminal
    mounts                 with the session's mount namespace
    running                the command has been executed
    note TEXT              a remark, for -v
    ended CODE             the command has ended; what it left is about to
    failed CODE TEXT       the end
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal imports enum, and each entry would wait
import errno
import os
import select

from ocicommon.linux import capabilities, lockdown, mounts, namespaces, process, terminal
from ocicommon.linux.calls import AT_FDCWD, AT_RECURSIVE
from ocicommon.linux.errors import SyscallError, describe, explain
from ocicommon.linux.sockets import send_fds

from crashcart import architecture, commands, devices, ending, entry, guarded, image, kernel, procfs, profile, report
from crashcart.errors import CrashcartError
from crashcart.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

_PRELOAD = (*profile.PRELOAD, "errno")
_FORWARDED = frozenset((signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2))


def prepare() -> None:
    """Load, on the host, everything that ``run`` will need."""
    lockdown.preload(_PRELOAD)


def run(plan: Plan, control: _socket.socket, streams: list[int]) -> int:
    """Be the supervisor; returns the exit code to end with. ``streams`` are the command's (empty for a terminal)."""
    signal.set_wakeup_fd(-1)
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_IGN)  # crashcart passes them on; a terminal may not send them here as well
    lockdown.lock()
    step = "start"

    def say(text: str) -> None:
        nonlocal step
        step = text
        control.send(f"step {text}".encode())

    try:
        process.set_parent_death_signal(signal.SIGKILL)  # until there is a command, nothing has to be cleaned up
        _hide()
        report.through = lambda text: _send(control, b"note " + text.encode("utf-8", "surrogateescape"))
        _close_others(plan, control, streams)
        os.setsid()
        own = ending.own_namespaces()
        say("process table")
        table = guarded.process_table(plan.entry.fds["pid"]) if plan.guarded else _process_table()
        say("namespaces")
        if plan.guarded:
            guarded.enter_pid_namespace(plan.entry)
        _enter(plan)
        say("devices")
        directory = devices.cover(plan.tools)
        say("terminal")
        master = -1
        if plan.streams.terminal:
            master, slave = _terminal(directory, plan)
            streams = [slave, slave, slave]
            send_fds(control, b"terminal", [master])
            os.close(master)
        say("command")
        path, argv = _resolve(plan, directory)
        # Held open, a device of the container would be kept busy by us; the older way of binding leaves us in its /dev.
        os.close(directory)
        os.chdir("/")
        plan.entry.close()
        plan.tools.close()
        ending.tell_mount_namespace(control, own)
        if plan.guarded:
            guarded.restrict(plan.privileges)
            guarded.born()
            process.set_parent_death_signal(signal.SIGKILL)
            os.setsid()
        return _supervise(plan, control, streams, table, path, argv)
    except CrashcartError as error:
        return _fail(control, error.code, str(error))
    except OSError as error:
        # Python's own OSError would look for no translation, but str() of it quotes paths in a way of its own.
        return _fail(control, 1, f"cannot enter the container at step '{step}': {explain(error)}")
    except BaseException as error:
        return _fail(control, 1, f"a defect of crashcart at step '{step}': {type(error).__name__}: {error}")


def _fail(control: _socket.socket, code: int, text: str) -> int:
    _send(control, f"failed {code} {text}".encode("utf-8", "surrogateescape"))
    return code


def _send(control: _socket.socket, message: bytes) -> None:
    try:
        control.send(message[:4000])
    except OSError:
        return  # crashcart is gone, and nobody is left to be told


def _hide() -> None:
    """Blank our command line and environment: they are the host's, and the container can see our /proc/PID."""
    process.set_name("crashcart")
    try:
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # without root: then /proc/PID/environ is closed to the container too, for the same reason
    stat = procfs.read("/proc/self/stat")
    fields = stat[stat.rindex(b")") + 2 :].split()
    try:
        for first, end in ((int(fields[45]), int(fields[46])), (int(fields[47]), int(fields[48]))):
            os.pwrite(memory, b"\0" * (end - first), first)
        os.pwrite(memory, b"crashcart", int(fields[45]))
    except OSError:
        return  # not to be had in every sandbox, and no reason to fail
    finally:
        os.close(memory)


def _close_others(plan: Plan, control: _socket.socket, streams: list[int]) -> None:
    """Keep what the session needs. The host's standard streams go too: the command never had them.

    Their numbers are taken by an empty file in memory, so that nothing of ours gets them.
    """
    tools = (plan.tools.tree, plan.tools.directory, *plan.tools.held)
    kept = sorted(
        {fd for fd in (*streams, control.fileno(), *plan.entry.descriptors(), *tools, *plan.cgroups) if fd >= 0}
    )
    empty = os.memfd_create("crashcart", os.MFD_CLOEXEC)
    for fd in range(3):
        os.dup2(empty, fd, inheritable=False)
    first = 3
    for fd in kept:
        if fd > first:
            _close_range(first, fd - 1)
        first = fd + 1
    _close_range(first, 0xFFFFFFFF)


def _close_range(first: int, last: int) -> None:
    if kernel.may_use("close-range"):
        try:
            process.close_range(first, last)
            return
        except SyscallError as error:
            if not kernel.is_missing(error.errno or 0):
                raise
    report.note("no close_range (Linux 5.9): descriptors are closed one by one")
    for name in os.listdir("/proc/self/fd"):
        if first <= int(name) <= last:
            try:
                os.close(int(name))
            except OSError:
                continue  # that of the listing itself


def _process_table() -> int:
    """A procfs of the pid namespace we were born in, mounted nowhere: the container's /proc may show what it likes."""
    if not kernel.may_use("mount-fd"):
        return -1
    try:
        context = mounts.fsopen("proc")
        try:
            mounts.fsconfig_create(context)
            return mounts.fsmount(context)
        finally:
            os.close(context)
    except SyscallError:
        return -1  # then the supervisor tries numbers for what is left of the session


def _enter(plan: Plan) -> None:
    if plan.tools.tree < 0 and plan.tools.directory >= 0 and kernel.may_use("mount-fd"):
        # Without root, a directory can be cloned only in a copy of the host's mounts that our user namespace owns.
        os.fchdir(plan.tools.directory)
        namespaces.unshare(namespaces.CLONE_NEWNS)
        os.close(plan.tools.directory)
        plan.tools.directory = mounts.open_tree(
            AT_FDCWD, ".", mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | AT_RECURSIVE
        )
        plan.tools.tree, plan.tools.directory = plan.tools.directory, -1
        image.make_read_only(plan.tools)
    entry.enter(plan.entry, private=True)


def _terminal(directory: int, plan: Plan) -> tuple[int, int]:
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        master = os.open("pts/ptmx", flags, dir_fd=directory)
        if mounts.filesystem_type(master) != mounts.DEVPTS_SUPER_MAGIC:
            raise CrashcartError(
                "the container's /dev/pts/ptmx is no pseudo-terminal: run without a terminal, e.g. `... | cat`"
            )
    except OSError as error:
        raise CrashcartError(
            f"the container has no pseudo-terminals (/dev/pts/ptmx: {describe(error.errno or 0)})"
        ) from error
    terminal.unlock(master)
    slave = terminal.open_peer(master, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    terminal.set_window_size(master, plan.streams.rows, plan.streams.columns)
    os.fchown(slave, plan.privileges.uid, -1)
    return master, slave


def _resolve(plan: Plan, directory: int) -> tuple[bytes, list[bytes]]:
    tools = os.open(devices.ENTRY, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)

    def has(name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=tools, follow_symlinks=False)
        except OSError:
            return False
        return True

    try:
        return commands.resolve(plan.command, has)
    finally:
        os.close(tools)


def _supervise(
    plan: Plan, control: _socket.socket, streams: list[int], table: int, path: bytes, argv: list[bytes]
) -> int:
    process.set_child_subreaper(True)
    wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, _wake)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    told, tell = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _command(plan, streams, table, path, argv, tell, parent)
    os.close(tell)
    for fd in {*streams, *plan.cgroups}:
        os.close(fd)
    _renounce()
    process.set_parent_death_signal(0)
    try:
        code = _watch(control, child, told, wake, path)
        _send(control, b"ended %d" % code)
        return code
    finally:
        ending.end_children(table)


def _renounce() -> None:
    """Keep the right to signal, and nothing else: a container with CAP_SYS_PTRACE can take us over."""
    keep = (1 << capabilities.bit("CAP_KILL")) & capabilities.capget()[1]
    capabilities.ambient_clear()
    capabilities.capset(keep, keep, 0)


def _wake(_signal: int, _frame: object) -> None:
    """Only so that the system call ends; the number arrives through the wake-up descriptor."""


def _watch(control: _socket.socket, child: int, told: int, wake: int, path: bytes) -> int:
    """Wait for the command to end, or for crashcart to be gone; returns the exit code."""
    poll = select.poll()
    for fd in (control.fileno(), told, wake):
        poll.register(fd, select.POLLIN)
    code: int | None = None
    while True:
        for fd, _ in poll.poll(0 if code is not None else None):
            if fd == told:
                failure = os.read(told, 64)
                poll.unregister(told)
                os.close(told)
                if failure:
                    return _fail(control, *_explain(failure, path))
                control.send(b"running")
            elif fd == wake:
                os.read(wake, 512)
            else:
                message = control.recv(64)
                if not message:
                    return 137  # crashcart is gone, and its session goes with it
                _pass_on(child, message)
        if code is not None:
            return code
        code = _reap(child)  # and round once more: an exec that failed was said before its process ended


def _pass_on(child: int, message: bytes) -> None:
    number = int(message.split()[1])
    if number in _FORWARDED:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            return


def _reap(child: int) -> int | None:
    """Take in all that have ended; the exit code of the command if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code


def _command(
    plan: Plan, streams: list[int], table: int, path: bytes, argv: list[bytes], tell: int, parent: int
) -> None:
    """Become the command. Never returns."""
    what = b"session"
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        if plan.streams.terminal:
            terminal.make_controlling(streams[0])
        what = b"cgroup"
        for fd in plan.cgroups:
            os.write(fd, b"0")
        what = b"streams"
        _set_streams(streams)
        what = b"privileges"
        attributes = -1
        if plan.privileges.label:
            attributes = os.open("self/attr", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=table)
        profile.apply(plan.privileges, attributes)
        what = b"death signal"
        # After the change of ids, which resets it.
        process.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(137)
        for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        what = b"exec"
        os.execve(path, argv, plan.environment)
    except OSError as error:
        if error.errno == errno.ENOEXEC and what == b"exec":
            what += b" " + architecture.of_program(path).encode()
        os.write(tell, b"%d %s" % (error.errno or 0, what))
    except BaseException as error:
        os.write(tell, b"0 %s: %s" % (what, type(error).__name__.encode()))
    finally:
        os._exit(127)


def _set_streams(streams: list[int]) -> None:
    """Make the three the standard ones; their own numbers are above those, which are taken since the start."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number, inheritable=True)


def _explain(failure: bytes, path: bytes) -> tuple[int, str]:
    number, _, what = failure.partition(b" ")
    shown = path.decode("utf-8", "replace")
    reason = describe(int(number)) if int(number) else what.decode("ascii", "replace")
    what, _, machine = what.partition(b" ") if what.startswith(b"exec ") else (what, b"", b"")
    if what != b"exec":
        return 1, f"cannot start {shown}: at step '{what.decode('ascii', 'replace')}': {reason}"
    if int(number) in (2, 20):
        return 127, f"cannot execute {shown}: {reason}; if it is there, its loader or interpreter is not"
    return 126, (
        f"cannot execute {shown}: {reason}"
        f"{architecture.why_not_executed(shown, machine.decode('ascii', 'replace'), os.uname().machine)}"
    )
