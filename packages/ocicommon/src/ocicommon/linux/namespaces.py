"""Namespaces: their flags, the names of their files, entering and asking. namespaces(7), ioctl_ns(2)."""

from __future__ import annotations

import os

from ocicommon.linux.calls import call

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# The runtime specification's name: (flag, file in /proc/PID/ns).
TYPES = {
    "user": (CLONE_NEWUSER, "user"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "uts": (CLONE_NEWUTS, "uts"),
    "network": (CLONE_NEWNET, "net"),
    "pid": (CLONE_NEWPID, "pid"),
    "mount": (CLONE_NEWNS, "mnt"),
    "time": (CLONE_NEWTIME, "time"),
}

_NS_GET_USERNS = 0xB701
_NS_GET_PARENT = 0xB702
_NS_GET_NSTYPE = 0xB703


def unshare(flags: int) -> None:
    """Leave for new namespaces (CLONE_NEW*). The pid and time namespaces take in the next child, not the caller."""
    call("unshare", flags, subject=f"{flags:#x}")


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace of ``fd`` (``flags`` 0, or the one type it must be), or those of a pidfd (``flags`` set)."""
    call("setns", fd, flags)


def namespace_type(fd: int) -> int:
    """The CLONE_NEW* flag of an open namespace file; ENOTTY when it is no namespace."""
    return call("ioctl", fd, _NS_GET_NSTYPE, 0, subject="NS_GET_NSTYPE")


def owning_user_namespace(fd: int) -> int:
    """A descriptor of the user namespace that owns this one; EPERM when that is out of sight."""
    return call("ioctl", fd, _NS_GET_USERNS, 0, subject="NS_GET_USERNS")


def parent_namespace(fd: int) -> int:
    """A descriptor of the parent of a pid or user namespace; EPERM when that is out of sight."""
    return call("ioctl", fd, _NS_GET_PARENT, 0, subject="NS_GET_PARENT")


def set_hostname(name: str) -> None:
    """The host name of the caller's UTS namespace: at most 64 bytes. sethostname(2)."""
    encoded = os.fsencode(name)
    call("sethostname", encoded, len(encoded), subject=name)
