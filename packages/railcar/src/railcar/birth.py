"""The clone: one clone3 where the kernel allows it, a process between where namespaces have to be entered first.

Joining a pid namespace changes the caller's children only, so the host's side does that itself around the clone.
A user namespace cannot be left again: a process between enters it and clones with CLONE_PARENT, so that the child is
still ours (and then the engine's shim's).
"""

import errno
import os

from ocicommon.linux.errors import SyscallError
from ocicommon.linux.namespaces import CLONE_NEWPID, CLONE_NEWUSER, namespace_type, setns, unshare
from ocicommon.linux.process import CLONE_PARENT, clone3, pidfd_open, set_dumpable, set_parent_death_signal

from railcar import handshake
from railcar.errors import ConfigError, RailcarError, StepError
from railcar.plan.namespaces import Namespaces, map_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from railcar.handshake import Channel


_NO_WAY_BACK = -2


class Born:
    """The child on the host's side. `mapped`: its id maps are written already."""

    __slots__ = ("mapped", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, mapped: bool) -> None:
        self.pid, self.pidfd, self.mapped = pid, pidfd, mapped


def open_paths(namespaces: Namespaces) -> list[tuple[str, int, int]]:
    """(type, flag, descriptor) of each namespace to join. Raises ConfigError for what is none, or of another type."""
    opened = []
    for kind, flag, path in namespaces.joins:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StepError(f'namespace "{kind}"', path, error.errno or 0) from None
        try:
            found = namespace_type(fd)
        except SyscallError:
            raise ConfigError(f'linux.namespaces: {path} is no namespace, so it cannot be the "{kind}" one') from None
        if found != flag:
            raise ConfigError(f'linux.namespaces: {path} is a namespace of another type than "{kind}"')
        opened.append((kind, flag, fd))
    return opened


def clone(
    namespaces: Namespaces,
    opened: list[tuple[str, int, int]],
    channel: "Channel",
    cgroup_fd: int,
    child: "Callable[[bool], None]",
) -> Born:
    """Make the child, which runs `child(joined)` and does not come back. Raises StepError, RailcarError.

    `joined` tells it whether its namespaces by path are entered already.
    """
    own = -1
    if not namespaces.needs_intermediate and any(kind == "pid" for kind, _, _ in opened):
        own = _own_pid_namespace()
    if namespaces.needs_intermediate or own == _NO_WAY_BACK:
        return _through_another(namespaces, opened, channel, child)
    for kind, flag, fd in opened:
        if kind == "pid":
            _join(kind, flag, fd)
    try:
        pid, pidfd = clone3(namespaces.new, cgroup_fd=cgroup_fd, want_pidfd=True)
    except SyscallError as error:
        raise StepError("new namespaces", "", error.errno or 0, clone_hint(error.errno or 0)) from None
    if pid == 0:
        try:
            channel.in_child()
            child(False)
        finally:
            os._exit(1)
    if own >= 0:
        setns(own, CLONE_NEWPID)
        os.close(own)
    return Born(pid, pidfd, False)


def _own_pid_namespace() -> int:
    """Our own, to come back to; _NO_WAY_BACK where it belongs to a user namespace above ours (rootless podman)."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(own, CLONE_NEWPID)
    except SyscallError:
        os.close(own)
        return _NO_WAY_BACK
    return own


def clone_hint(number: int) -> str:
    """What may be the reason that clone3 refused."""
    if number == errno.EPERM:
        return "this user may not make namespaces: a rootless container needs a new user namespace"
    if number == errno.ENOSPC:
        return "a limit in /proc/sys/user/max_*_namespaces is reached"
    if number in (errno.EAGAIN, errno.ENOMEM):
        return "a limit of processes or memory is reached"
    return ""


def _join(kind: str, flag: int, fd: int) -> None:
    try:
        setns(fd, flag)
    except SyscallError as error:
        raise StepError(f'enter the namespace "{kind}"', "", error.errno or 0) from None


def join(opened: list[tuple[str, int, int]]) -> None:
    """Enter the namespaces, in the child; the pid namespace has been seen to."""
    for kind, flag, fd in opened:
        if kind != "pid":
            _join(kind, flag, fd)


def _through_another(
    namespaces: Namespaces,
    opened: list[tuple[str, int, int]],
    channel: "Channel",
    child: "Callable[[bool], None]",
) -> Born:
    between, _ = clone3(0, want_pidfd=False)
    if between == 0:
        try:
            channel.in_child()
            _between(namespaces, opened, channel, child)
        except BaseException as error:
            channel.tell_error(error)
        finally:
            os._exit(1)
    pid, alive = 0, False
    try:
        while not (pid and alive):
            kind, payload = channel.hear()
            if kind == handshake.MAPS and payload == b"between":
                write_maps(between, namespaces)
                channel.go()
            elif kind == handshake.BORN:
                pid = int(payload)
            elif kind == handshake.MAPS:
                alive = True
            else:
                raise RailcarError("the process that enters the user namespace died before the container was made")
    finally:
        os.waitpid(between, 0)
    # The child is ours (CLONE_PARENT) and not waited for: its pid cannot be another's.
    return Born(pid, pidfd_open(pid), True)


def _between(
    namespaces: Namespaces,
    opened: list[tuple[str, int, int]],
    channel: "Channel",
    child: "Callable[[bool], None]",
) -> None:
    """Enter what can be entered, then the user namespace, then the rest; clone; die."""
    set_parent_death_signal(9)
    set_dumpable(False)
    later = []
    user = [entry for entry in opened if entry[0] == "user"]
    for kind, flag, fd in opened:
        if kind == "user":
            continue
        try:
            setns(fd, flag)
        except SyscallError as error:
            if error.errno != errno.EPERM:
                raise StepError(f'enter the namespace "{kind}"', "", error.errno or 0) from None
            later.append((kind, flag, fd))
    for kind, flag, fd in user:
        _join(kind, flag, fd)
    if namespaces.new_user:
        set_dumpable(True)  # else the map files would belong to the host's root alone
        unshare(CLONE_NEWUSER)
        channel.ask(handshake.MAPS, b"between")
        set_dumpable(False)
    become_root()
    for kind, flag, fd in later:
        _join(kind, flag, fd)
    pid, _ = clone3((namespaces.new & ~CLONE_NEWUSER) | CLONE_PARENT)
    if pid == 0:
        child(True)
        os._exit(1)
    channel.tell(handshake.BORN, str(pid).encode())
    os._exit(0)


def become_root(keep_groups: bool = False) -> None:
    """Root of the user namespace that was just entered; what is not mapped stays as it is."""
    try:
        if not keep_groups:
            os.setgroups([])
    except OSError:
        pass
    try:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    except OSError as error:
        raise StepError("become root of the user namespace", "", error.errno or 0, "id 0 is not mapped in it") from None


def write_maps(pid: int, namespaces: Namespaces) -> None:
    """Write the id maps of a process in a new user namespace. user_namespaces(7). Raises StepError."""
    privileged = os.geteuid() == 0
    for name, ranges, helper, own in (
        ("gid_map", namespaces.gid_map, "newgidmap", os.getegid()),
        ("uid_map", namespaces.uid_map, "newuidmap", os.geteuid()),
    ):
        if not privileged:
            alone = len(ranges) == 1 and ranges[0][1] == own and ranges[0][2] == 1
            if not alone:
                _by_helper(helper, pid, ranges)
                continue
            if name == "gid_map":
                _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/{name}", map_text(ranges))


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        hint = f"of {text.strip()!r}" if error.errno in (errno.EPERM, errno.EINVAL) else ""
        raise StepError("write the id maps", path, error.errno or 0, hint) from None


def _by_helper(name: str, pid: int, ranges: list[tuple[int, int, int]]) -> None:
    """newuidmap(1): it knows which further ids this user was given in /etc/subuid."""
    arguments = [name, str(pid), *(str(number) for entry in ranges for number in entry)]
    for directory in ("/usr/bin", "/bin", "/usr/local/bin"):
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            helper = os.posix_spawn(path, arguments, {})
            status = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
            if status:
                raise StepError(
                    "write the id maps", " ".join(arguments), 0, f"it ended with code {status}; see /etc/subuid"
                )
            return
    raise StepError("write the id maps", name, errno.ENOENT, "install it (Debian: package uidmap)")
