"""Mounts: the calls by descriptor (open_tree and its kin) and the older ones. mount(2), mount_setattr(2), statx(2)."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, buffer, call, path_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    Name = str | bytes

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_POSIXACL = 0x10000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_I_VERSION = 0x800000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MNT_FORCE = 1
MNT_DETACH = 2
MNT_EXPIRE = 4
UMOUNT_NOFOLLOW = 8

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = 0x80000

MOVE_MOUNT_F_SYMLINKS = 0x1
MOVE_MOUNT_F_AUTOMOUNTS = 0x2
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_AUTOMOUNTS = 0x20
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_SET_GROUP = 0x100
MOVE_MOUNT_BENEATH = 0x200

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSPICK_CLOEXEC = 0x1
FSPICK_SYMLINK_NOFOLLOW = 0x2
FSPICK_NO_AUTOMOUNT = 0x4
FSPICK_EMPTY_PATH = 0x8

_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_FSCONFIG_CMD_RECONFIGURE = 7

PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
OVERLAYFS_SUPER_MAGIC = 0x794C7630
NSFS_MAGIC = 0x6E736673
DEVPTS_SUPER_MAGIC = 0x1CD1
MQUEUE_MAGIC = 0x19800202
BINFMTFS_MAGIC = 0x42494E4D

_AT_STATX_DONT_SYNC = 0x4000
_STATX_MNT_ID = 0x1000
_STATX_ATTR_MOUNT_ROOT = 0x2000


def mount(
    source: Name | None, target: Name, fstype: Name | None = None, flags: int = 0, data: Name | None = None
) -> None:
    """mount(2). ``data`` is at most a page; more is refused by the kernel."""
    encoded = [None if text is None else path_bytes(text, "mount") for text in (source, target, fstype, data)]
    call("mount", encoded[0], encoded[1], encoded[2], flags, encoded[3], subject=_on(target))


def umount2(target: Name, flags: int = 0) -> None:
    """umount2(2)."""
    call("umount2", path_bytes(target, "umount2"), flags, subject=target)


def pivot_root(new: Name, put_old: Name) -> None:
    """pivot_root(2): ``pivot_root(".", ".")`` stacks the old root over the new, ready to be unmounted."""
    call("pivot_root", path_bytes(new, "pivot_root"), path_bytes(put_old, "pivot_root"), subject=new)


def open_tree(dir_fd: int, path: Name, flags: int = OPEN_TREE_CLOEXEC) -> int:
    """A descriptor of a mount or, with OPEN_TREE_CLONE, of a detached copy (AT_RECURSIVE: with what is below)."""
    return call("open_tree", dir_fd, path_bytes(path, "open_tree"), flags, subject=path)


def move_mount(from_fd: int, from_path: Name, to_fd: int, to_path: Name, flags: int = 0) -> None:
    """Attach or move a mount; MOVE_MOUNT_[FT]_EMPTY_PATH take the descriptors themselves."""
    source, target = path_bytes(from_path, "move_mount"), path_bytes(to_path, "move_mount")
    call("move_mount", from_fd, source, to_fd, target, flags, subject=f"to {_text(to_path) or f'descriptor {to_fd}'}")


def fsopen(fstype: Name, flags: int = FSOPEN_CLOEXEC) -> int:
    """A new filesystem in preparation; ENODEV when the kernel knows no such type."""
    return call("fsopen", path_bytes(fstype, "fsopen"), flags, subject=fstype)


def fspick(dir_fd: int, path: Name, flags: int = FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW) -> int:
    """A mounted filesystem's options, to be reconfigured."""
    return call("fspick", dir_fd, path_bytes(path, "fspick"), flags, subject=path)


def fsconfig_set_string(fd: int, key: Name, value: Name) -> None:
    """Option ``key=value``."""
    encoded = path_bytes(key, "fsconfig"), path_bytes(value, "fsconfig")
    call("fsconfig", fd, _FSCONFIG_SET_STRING, *encoded, 0, subject=f"{_text(key)}={_text(value)}")


def fsconfig_set_flag(fd: int, key: Name) -> None:
    """Option ``key``."""
    call("fsconfig", fd, _FSCONFIG_SET_FLAG, path_bytes(key, "fsconfig"), None, 0, subject=key)


def fsconfig_set_fd(fd: int, key: Name, value: int) -> None:
    """Option ``key`` with a descriptor for its value."""
    call("fsconfig", fd, _FSCONFIG_SET_FD, path_bytes(key, "fsconfig"), None, value, subject=key)


def fsconfig_create(fd: int) -> None:
    """Make the superblock: here a filesystem says that it does not like its options."""
    call("fsconfig", fd, _FSCONFIG_CMD_CREATE, None, None, 0, subject="create")


def fsconfig_reconfigure(fd: int) -> None:
    """Apply options to the superblock of ``fspick``."""
    call("fsconfig", fd, _FSCONFIG_CMD_RECONFIGURE, None, None, 0, subject="reconfigure")


def fsmount(fd: int, flags: int = FSMOUNT_CLOEXEC, attributes: int = 0) -> int:
    """A detached mount (MOUNT_ATTR_*) of what ``fsconfig_create`` made."""
    return call("fsmount", fd, flags, attributes)


def filesystem_log(fd: int) -> list[str]:
    """What the filesystem had to say about its options (``e fs: Bad value for 'size'``), emptied by reading."""
    import os

    messages: list[str] = []
    while True:
        try:
            message = os.read(fd, 4096)
        except OSError:
            return messages
        if not message:
            return messages
        messages.append(message.decode("utf-8", "replace").strip())


def mount_setattr(
    dir_fd: int,
    path: Name,
    at_flags: int = AT_EMPTY_PATH,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
) -> None:
    """Change MOUNT_ATTR_* and propagation (MS_PRIVATE...) of a mount, or of all below it with AT_RECURSIVE.

    ``userns_fd`` with MOUNT_ATTR_IDMAP maps the ids of a detached, never attached copy.
    """
    attributes = struct.pack("4Q", set_, clear, propagation, max(userns_fd, 0))
    subject = path or f"descriptor {dir_fd}"
    call("mount_setattr", dir_fd, path_bytes(path, "mount_setattr"), at_flags, attributes, 32, subject=subject)


def filesystem_type(fd: int) -> int:
    """The magic number of the filesystem that ``fd`` (O_PATH will do) is on."""
    held = buffer(120)
    call("fstatfs", fd, held)
    kind: int = struct.unpack_from("Q", held.raw)[0]
    return kind


def _statx(fd: int, path: Name, mask: int) -> bytes:
    held = buffer(256)
    # What is asked is the kernel's own knowledge: a filesystem served by a process could keep us waiting.
    flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | _AT_STATX_DONT_SYNC
    call("statx", fd, path_bytes(path, "statx"), flags, mask, held, subject=path)
    raw: bytes = held.raw
    return raw


def mount_id(fd: int, path: Name = "") -> int:
    """The id of the mount (as in mountinfo) that ``fd``, or ``path`` below it, is on."""
    number: int = struct.unpack_from("Q", _statx(fd, path, _STATX_MNT_ID), 144)[0]
    return number


def is_mount_root(fd: int, path: Name = "") -> bool:
    """Whether something is mounted right here."""
    attributes: int = struct.unpack_from("Q", _statx(fd, path, 0), 8)[0]
    return bool(attributes & _STATX_ATTR_MOUNT_ROOT)


def clone_tree(path: Name, dir_fd: int = AT_FDCWD, *, recursive: bool = True, empty: bool = False) -> int:
    """A detached copy of the mount at ``path``: what a bind mount is made of."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0) | (AT_EMPTY_PATH if empty else 0)
    return open_tree(dir_fd, path, flags)


def attach(tree_fd: int, target_fd: int) -> None:
    """Mount a detached tree exactly on what ``target_fd`` refers to."""
    move_mount(tree_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def _text(name: Name) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def _on(target: Name) -> str:
    return f"on {_text(target)}"
