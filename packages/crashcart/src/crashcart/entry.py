"""The way into a container: its namespaces held by descriptor on the host, then entered one by one.

The user namespace comes first: without its privileges the mount namespace that it owns cannot be changed.
"""

from __future__ import annotations

import errno
import os

from ocicommon.linux import mounts, namespaces
from ocicommon.linux.errors import SyscallError

from crashcart import procfs
from crashcart.errors import CrashcartError
from crashcart.targets import Target

_FLAGS = {file: flag for flag, file in namespaces.TYPES.values()}
# Entered by the supervisor in this order. The pid namespace is entered by being born in it.
_ORDER = ("user", "mnt", "cgroup", "ipc", "uts", "net", "time")


class Entry:
    """Descriptors of a target's namespaces that differ from ours, and who to be inside."""

    __slots__ = ("fds", "gid", "groups", "root", "uid", "users")

    def __init__(self) -> None:
        self.fds: dict[str, int] = {}
        self.root = -1
        self.users = self.groups = procfs.IdMap(b"")
        self.uid = self.gid = 0

    def descriptors(self) -> list[int]:
        """All of them, to be kept or closed."""
        return [fd for fd in (*self.fds.values(), self.root) if fd >= 0]

    def close(self) -> None:
        """Let go of the namespaces: while they are held, they outlive the container."""
        for fd in self.descriptors():
            os.close(fd)
        self.fds = {}
        self.root = -1


def open_entry(target: Target, wanted: tuple[str, ...]) -> Entry:
    """Hold the wanted namespaces of the target (those that are not ours already) and its root directory."""
    entry = Entry()
    try:
        for name in (*_ORDER, "pid"):
            if name not in wanted or not os.path.exists(f"/proc/self/ns/{name}"):
                continue
            if procfs.namespace(target.pid, name) != procfs.namespace("self", name):
                entry.fds[name] = os.open(f"/proc/{target.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        if "mnt" in wanted:
            entry.root = os.open(f"/proc/{target.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        of = target.pid if "user" in wanted else os.getpid()
        entry.users, entry.groups = procfs.id_maps(of)
        entry.uid, entry.gid = entry.users.first(), entry.groups.first()
    except OSError as error:
        entry.close()
        if error.errno in (2, 3):
            raise CrashcartError(f"{target.container.describe()} has just ended") from error
        if error.errno == 13:
            raise CrashcartError(
                f"{target.container.describe()} belongs to another user: run crashcart as that user or as root"
            ) from error
        raise CrashcartError(f"cannot reach the namespaces of {target.container.describe()}: {error}") from error
    # Whatever was opened is the target's only if the target is still there: its number may have got a new process.
    target.check()
    return entry


def become_root(entry: Entry) -> None:
    """Be the first user of the user namespace just entered; files made by an id that is not mapped are refused."""
    try:
        os.setgroups([])
    except PermissionError as error:
        # A user namespace made without privileges denies it; root's groups went before it was entered.
        if error.errno != errno.EPERM:
            raise
    os.setresgid(entry.gid, entry.gid, entry.gid)
    os.setresuid(entry.uid, entry.uid, entry.uid)


def enter(entry: Entry, *, private: bool) -> None:
    """Enter what is held; with ``private`` into a copy of the mount namespace that only this process has.

    Afterwards the target's root directory is ours. SyscallError or OSError when the kernel refuses.
    """
    if "user" in entry.fds and os.geteuid() == 0:
        # Here, where it is permitted for certain: a user namespace may deny it, and the caller's groups would stay.
        os.setgroups([])
    for name in _ORDER:
        if name in entry.fds:
            try:
                namespaces.setns(entry.fds[name], _FLAGS[name])
            except SyscallError as error:
                error.subject = f"into the {name} namespace"
                raise
            if name == "user":
                become_root(entry)
    if entry.root >= 0:
        os.fchdir(entry.root)
    if private:
        # The working directory moves into the copy with us: that is how its root is found there.
        namespaces.unshare(namespaces.CLONE_NEWNS)
        # Slave, not private: a filesystem that the host takes away from the container is not held busy by a session.
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
    if entry.root >= 0:
        os.chroot(".")
    os.chdir("/")
