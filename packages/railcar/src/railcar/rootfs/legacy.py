"""The same deeds by mount(2), for kernels before Linux 5.12: targets are descriptors by way of the host's /proc.

All of it runs before the host's root is left, so /proc/self/fd is the host's.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts

from railcar.errors import StepError
from railcar.rootfs import paths
from railcar.rootfs.options import attributes_to_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from railcar.rootfs.mount import Mount
    from railcar.rootfs.options import Options

_ENOSYS = 38
NOT_PROC = "only a proc filesystem can be mounted on /proc"

# statvfs(3): what a mount has -> what mount(2) calls it.
_HELD = (
    (0x1, mounts.MS_RDONLY),
    (0x2, mounts.MS_NOSUID),
    (0x4, mounts.MS_NODEV),
    (0x8, mounts.MS_NOEXEC),
    (0x400, mounts.MS_NOATIME),
    (0x800, mounts.MS_NODIRATIME),
    (0x1000, mounts.MS_RELATIME),
    (0x2000, mounts.MS_NOSYMFOLLOW),
)
_ATIME = mounts.MS_NOATIME | mounts.MS_RELATIME | mounts.MS_STRICTATIME


def at(fd: int) -> str:
    """A path that is exactly what ``fd`` refers to."""
    return f"/proc/self/fd/{fd}"


def held_flags(fd: int) -> int:
    """The MS_* flags a mount has now: a remount must repeat them, since it drops or is refused what it does not say."""
    held = os.fstatvfs(fd).f_flag
    flags = 0
    for bit, flag in _HELD:
        if held & bit:
            flags |= flag
    return flags


def take_root(path: str, propagation: int) -> int:
    """Make the root a mount of its own, on its own path; returns its descriptor."""
    if propagation & mounts.MS_PRIVATE:
        mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
    mounts.mount(path, path, None, mounts.MS_BIND | mounts.MS_REC)
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def change(fd: int, set_: int, clear: int) -> None:
    """Change MOUNT_ATTR_* of one mount, keeping what else it has."""
    flags = held_flags(fd)
    if clear & mounts.MOUNT_ATTR__ATIME:
        flags &= ~_ATIME
        flags |= attributes_to_flags(set_) & _ATIME
    wanted = attributes_to_flags(set_) & ~_ATIME
    unwanted = attributes_to_flags(clear) & ~_ATIME
    flags = (flags & ~unwanted) | wanted
    mounts.mount(None, at(fd), None, mounts.MS_REMOUNT | mounts.MS_BIND | flags)


def change_all(fd: int, set_: int, clear: int) -> None:
    """The same for a mount and all that is mounted below it."""
    change(fd, set_, clear)
    top = os.readlink(at(fd))
    for place in mount_points(lambda point, _: point.startswith(top + "/")):
        below = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            change(below, set_, clear)
        finally:
            os.close(below)


def mount_points(wanted: Callable[[str, str], bool]) -> list[str]:
    """The mount points, as this process sees them, for which ``wanted(point, filesystem type)``, the deepest last."""
    fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    content = b""
    while part := os.read(fd, 1 << 16):
        content += part
    os.close(fd)
    found = []
    for line in content.splitlines():
        before, _, after = line.partition(b" - ")
        point, kind = _unescape(before.split(b" ")[4]), after.split(b" ")[0].decode()
        if wanted(point, kind):
            found.append(point)
    return found


def _unescape(field: bytes) -> str:
    """A path of mountinfo, where blanks, tabs, newlines and backslashes are written in octal. proc_pid_mountinfo(5)."""
    parts = field.split(b"\\")
    plain = parts[0] + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts[1:])
    return os.fsdecode(plain)


def add_attributes(fd: int, attributes: int) -> None:
    """Add MOUNT_ATTR_* to one mount."""
    change(fd, attributes, 0)


def remount(fd: int, options: Options) -> None:
    """The mount option ``remount``: of the filesystem, or with ``bind`` of this mount alone."""
    if options.bind:
        change(fd, options.set, options.clear)
        return
    flags = (held_flags(fd) & ~attributes_to_flags(options.clear)) | options.mount_flags()
    mounts.mount(None, at(fd), None, mounts.MS_REMOUNT | flags, ",".join(options.data) or None)


def bind(root_fd: int, mount: Mount, target_for: Callable[[bool], int]) -> int:
    """A bind mount as the plan wants it; returns its descriptor."""
    options = mount.options
    if options.idmap or options.recursive_set or options.recursive_clear:
        raise StepError(mount.name(), "", _ENOSYS, "idmapped mounts and recursive attributes need Linux 5.12")
    try:
        directory = os.path.isdir(mount.source)
        os.stat(mount.source)
    except OSError as error:
        raise StepError(mount.name(), f"source {mount.source}", error.errno or 0) from error
    target = target_for(directory)
    mounts.mount(mount.source, at(target), None, mounts.MS_BIND | (mounts.MS_REC if options.bind == "rbind" else 0))
    os.close(target)
    fd = paths.resolve(root_fd, mount.destination)
    if options.set or options.clear:
        change(fd, options.set, options.clear)
    return fd


def check_proc_source(mount: Mount) -> None:
    """Only a proc filesystem may be bound on /proc."""
    fd = os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    try:
        if not paths.is_procfs(fd):
            raise StepError(mount.name(), f"source {mount.source}", hint=NOT_PROC)
    finally:
        os.close(fd)


def bind_file(source: int, target: int) -> None:
    """Bind one open file over another."""
    mounts.mount(at(source), at(target), None, mounts.MS_BIND)


def propagate(fd: int, flag: int) -> None:
    """MS_PRIVATE and its kin, with MS_REC or not."""
    mounts.mount(None, at(fd), None, flag)


def mask(target: int, null: int, label: str) -> None:
    """Cover a file with the null device, a directory with an empty read-only tmpfs."""
    if paths.is_directory(target):
        data = "nr_blocks=1,nr_inodes=1" + (f',context="{label}"' if label else "")
        mounts.mount("tmpfs", at(target), "tmpfs", mounts.MS_RDONLY, data)
    else:
        bind_file(null, target)


def make_readonly(target: int, root_fd: int, path: str) -> None:
    """Bind ``target``, which is at ``path`` in the root, over itself, read-only."""
    mounts.mount(at(target), at(target), None, mounts.MS_BIND | mounts.MS_REC)
    fd = paths.resolve(root_fd, path)
    try:
        add_attributes(fd, mounts.MOUNT_ATTR_RDONLY)
    finally:
        os.close(fd)
