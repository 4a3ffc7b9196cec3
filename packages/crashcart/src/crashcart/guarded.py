"""A session among processes that may trace ours: sealed, set up out of their sight, and born with its own rights only.

Being non-dumpable keeps out all but those with CAP_SYS_PTRACE in our user namespace. These could take the host's
interpreter (/proc/PID/exe) and write to it later, or the descriptors and the rights of a supervisor that sets up. So
crashcart executes itself again from a sealed file; what needs rights is done by a process of the host's pid namespace,
which they cannot name; and what they see is born without those rights.
"""

from __future__ import annotations

import errno
import os

from ocicommon.linux import capabilities, files, mounts, namespaces, process, sealing
from ocicommon.linux.errors import SyscallError

from crashcart import kernel, procfs, report
from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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
        pid_namespace = os.open(f"/proc/{target.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return any(bounding & _TRACE for bounding in _bounding_sets(pid_namespace, inside))
    finally:
        os.close(pid_namespace)


def _other_user_namespace(target: Target, wanted: tuple[str, ...]) -> bool:
    return "user" in wanted and procfs.namespace(target.pid, "user") != procfs.namespace("self", "user")


def _bounding_sets(pid_namespace: int, inside: tuple[int, int]) -> Iterator[int]:
    """What the processes of a pid namespace (and those below) could come by."""
    table = process_table(pid_namespace)
    if table < 0:
        report.note("no procfs of another pid namespace (Linux 6.17): each process of the host is looked at")
        for pid in procfs.pids():
            try:
                if procfs.namespace(pid, "pid") == inside:
                    yield procfs.status(pid).bounding
            except OSError:
                continue  # gone, or not ours to see, and then it sees us no better
        return
    try:
        for name in os.listdir(table):
            try:
                if name.isdigit():
                    yield procfs.Status(procfs.read(f"{name}/status", table)).bounding
            except OSError:
                continue
    finally:
        os.close(table)


def seal() -> None:
    """Go on in a program that nobody can write to; returns when this one is it already."""
    try:
        sealing.execute_again(_MARK, _unwritable)
    except OSError as error:
        raise CrashcartError(
            f"a process of the container may trace crashcart, and no sealed copy of Python can be run: {error}; "
            "--only mnt,net,ipc,uts stays out of its pid namespace"
        ) from error


def _unwritable(data: bytes) -> int:
    """A program with this content that nobody can change."""
    if kernel.may_use("memfd"):
        try:
            return files.sealed_memfd("crashcart", data)
        except SyscallError as error:
            if error.errno not in (errno.EACCES, errno.ENOSYS):
                raise
    from ocicommon.linux.detached import file_on_tmpfs

    report.note("no program in memory (vm.memfd_noexec): a file on a detached tmpfs is executed")
    return file_on_tmpfs(data)


def process_table(pid_namespace: int) -> int:
    """A procfs of a pid namespace, made from outside and mounted nowhere, where the kernel can (6.17); else -1."""
    if not (kernel.may_use("mount-fd") and kernel.may_use("proc-pidns")):
        return -1
    try:
        context = mounts.fsopen("proc")
        try:
            mounts.fsconfig_set_fd(context, "pidns", pid_namespace)
            mounts.fsconfig_create(context)
            tree = mounts.fsmount(context)
        finally:
            os.close(context)
        try:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
        finally:
            os.close(tree)
    except OSError:
        return -1


def restrict(privileges: Privileges) -> None:
    """Give up all rights but the session's, and those by which the command becomes its user."""
    mine = capabilities.capget()[1]
    kept = (privileges.permitted | _KEPT) & mine
    if privileges.filters and not kept & _SYS_ADMIN:
        privileges.no_new_privs = True  # without the right, the filter is accepted only so
    for number in range(capabilities.last() + 1):
        if not privileges.bounding >> number & 1:
            process.prctl(process.PR_CAPBSET_DROP, number)
    capabilities.ambient_clear()
    capabilities.capset(kept, kept, 0)


def born() -> None:
    """Go on as a child of crashcart in the pid namespace entered for children; the caller's own process ends here."""
    if _clone_beside():
        os._exit(0)


def _clone_beside() -> int:
    """Fork a process that has our parent."""
    if kernel.may_use("clone3"):
        try:
            return process.clone3(process.CLONE_PARENT)[0]
        except SyscallError as error:
            if not kernel.is_missing(error.errno or 0):
                raise
    report.note("no clone3 (Linux 5.3): clone makes the supervisor")
    return process.clone(process.CLONE_PARENT)


def enter_pid_namespace(entry: Entry) -> None:
    """Have the next child born there."""
    namespaces.setns(entry.fds["pid"], namespaces.CLONE_NEWPID)
