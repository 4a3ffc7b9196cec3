"""The last steps into a container's root: pivot_root(2), or moving it over / (--no-pivot), or chroot; and the names."""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.namespaces import set_hostname

from railcar.errors import StepError
from railcar.rootfs import legacy, sysctl

_EINVAL = 22
_EPERM = 1


def set_names(hostname: str, domainname: str, proc_fd: int) -> None:
    """Name the UTS namespace; ``proc_fd`` is a trusted procfs where there is a domain name."""
    if hostname:
        try:
            set_hostname(hostname)
        except OSError as error:
            raise StepError("hostname", hostname, error.errno or 0) from error
    if domainname:
        sysctl.write(proc_fd, [("domainname", "kernel/domainname", domainname)])


def pivot(root_fd: int) -> None:
    """Swap the roots, and let go of the old one without a word to the host's mount namespace."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(root_fd)
        mounts.pivot_root(".", ".")
        os.fchdir(old)
        mounts.mount(None, ".", None, mounts.MS_SLAVE | mounts.MS_REC)
        mounts.umount2(".", mounts.MNT_DETACH)
        os.chdir("/")
    except OSError as error:
        hint = "on an initramfs the root cannot be pivoted: use --no-pivot" if error.errno == _EINVAL else ""
        raise StepError("pivot_root", "", error.errno or 0, hint) from error
    finally:
        os.close(old)


def move(root_fd: int) -> None:
    """Move the root over /, for a root filesystem that cannot be pivoted (ramfs).

    The old root stays reachable for who escapes the chroot, so its procfs and sysfs, full copies without masks, go.
    """
    try:
        os.fchdir(root_fd)
        below = os.readlink("/proc/self/cwd")
        for place in _kernel_filesystems(below):
            try:
                mounts.umount2(place, mounts.MNT_DETACH)
            except SyscallError as error:
                if error.errno not in (_EINVAL, _EPERM):
                    raise
                mounts.mount("tmpfs", place, "tmpfs", 0)
        os.fchdir(root_fd)
        mounts.mount(".", "/", None, mounts.MS_MOVE)
        os.chroot(".")
        os.chdir("/")
    except OSError as error:
        raise StepError("move the root", "", error.errno or 0) from error


def _kernel_filesystems(below: str) -> list[str]:
    def wanted(point: str, kind: str) -> bool:
        return kind in ("proc", "sysfs") and point != below and not point.startswith(below + "/")

    return legacy.mount_points(wanted)[::-1]


def chroot(root_fd: int) -> None:
    """Without a mount namespace of its own, only this process's idea of / changes."""
    try:
        os.fchdir(root_fd)
        os.chroot(".")
        os.chdir("/")
    except OSError as error:
        raise StepError("chroot", "", error.errno or 0) from error


def propagate(propagation: int) -> None:
    """linux.rootfsPropagation, on the root that is now /."""
    try:
        mounts.mount(None, "/", None, propagation)
    except SyscallError as error:
        raise StepError("linux.rootfsPropagation", "", error.errno or 0) from error


ENTER = {"pivot": pivot, "move": move, "chroot": chroot}
