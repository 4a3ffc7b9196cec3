"""A session among processes that may trace ours: sealed, set up out of their sight, and born with its own rights only.

Being non-dumpable keeps out all but those with CAP_SYS_PTRACE in our user namespace. These could take the host's
interpreter (/proc/PID/exe) and write to it later, or the descriptors and the rights of a supervisor that sets up. So
crashcart executes itself again from a sealed file; what needs rights is done by a process of the host's pid namespace,
which they cannot name; and what they see is born without those rights.
"""

from __future__ import annotations

import os

from ocicommon.linux import capabilities, files, mounts, namespaces, process, sealing
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.sockets import send_fds

from crashcart import kernel, procfs
from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from crashcart.entry import Entry
    from crashcart.profile import Privileges
    from crashcart.targets import Target

_MARK = "crashcart_sealed"
_TRACE = 1 << capabilities.bit("CAP_SYS_PTRACE")
_SYS_ADMIN = 1 << capabilities.bit("CAP_SYS_ADMIN")
# What becoming the command's user takes, and ending what it leaves.
_KEPT = capabilities.mask(["CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"])


def needed(target: Target, wanted: tuple[str, ...]) -> bool:
    """Whether a process of the target's pid namespace may trace ours there, and could not do so anyway."""
    if "pid" not in wanted or os.geteuid() != 0:
        return False
    try:
        inside = procfs.namespace(target.pid, "pid")
        # In a user namespace of its own, no right of the container reaches our memory.
        if inside == procfs.namespace("self", "pid") or _other_user_namespace(target, wanted):
            return False
    except OSError:
        return True
    return any(_may_trace(pid, inside) for pid in procfs.pids())


def _other_user_namespace(target: Target, wanted: tuple[str, ...]) -> bool:
    return "user" in wanted and procfs.namespace(target.pid, "user") != procfs.namespace("self", "user")


def _may_trace(pid: int, inside: tuple[int, int]) -> bool:
    """By the bounding set: what it could come by. No when it is gone, or elsewhere."""
    try:
        return procfs.namespace(pid, "pid") == inside and bool(procfs.status(pid).bounding & _TRACE)
    except OSError:
        return False


def seal() -> None:
    """Go on in a program that nobody can write to; returns when this one is it already."""
    try:
        sealing.execute_again(_MARK, lambda data: files.sealed_memfd("crashcart", data))
    except OSError as error:
        raise CrashcartError(
            f"a process of the container may trace crashcart, and no sealed copy of Python can be run: {error}; "
            "--only mnt,net,ipc,uts stays out of its pid namespace"
        ) from error


def process_table(entry: Entry) -> int:
    """A procfs of the container's pid namespace made from outside, where the kernel can (6.17); else -1."""
    if not kernel.may_use("mount-fd"):
        return -1
    try:
        context = mounts.fsopen("proc")
        try:
            mounts.fsconfig_set_fd(context, "pidns", entry.fds["pid"])
            mounts.fsconfig_create(context)
            return mounts.fsmount(context)
        finally:
            os.close(context)
    except SyscallError:
        return -1  # then crashcart, outside, looks for what is left of the session


def own_namespaces() -> int:
    """Our directory of namespaces in the host's procfs, to be asked when we have entered them."""
    return os.open("/proc/self/ns", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def tell_mount_namespace(control: _socket.socket, own: int) -> None:
    """Say which it is before there is a supervisor, which may be over before it can be asked; closes ``own``."""
    fd = os.open("mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=own)
    os.close(own)
    try:
        send_fds(control, b"mounts", [fd])
    finally:
        os.close(fd)


def restrict(privileges: Privileges) -> None:
    """Give up all rights but the session's, and those by which the command becomes its user."""
    mine = capabilities.capget()[1]
    kept = (privileges.permitted | _KEPT) & mine
    if privileges.filter and not kept & _SYS_ADMIN:
        privileges.no_new_privs = True  # without the right, the filter is accepted only so
    for number in range(capabilities.last() + 1):
        if not privileges.bounding >> number & 1:
            process.prctl(process.PR_CAPBSET_DROP, number)
    capabilities.ambient_clear()
    capabilities.capset(kept, kept, 0)


def born() -> None:
    """Go on as a child of crashcart in the pid namespace entered for children; the caller's own process ends here."""
    pid, _ = process.clone3(process.CLONE_PARENT)
    if pid:
        os._exit(0)


def enter_pid_namespace(entry: Entry) -> None:
    """Have the next child born there."""
    namespaces.setns(entry.fds["pid"], namespaces.CLONE_NEWPID)
