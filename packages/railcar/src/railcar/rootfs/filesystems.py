"""Making new filesystems (proc, tmpfs, devpts, overlay...) as detached mounts, with the kernel's own words on failure.

fsopen(2), fsconfig(2), fsmount(2); mount(2) for what those cannot say.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.errors import SyscallError

from railcar.errors import StepError
from railcar.rootfs.options import ONLY_BY_MOUNT, SUPERBLOCK_WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.rootfs.mount import Mount

_EPERM = 1
_EINVAL = 22
_LONGEST_VALUE = 255  # fsconfig(2)

# Their superblock is shared by all mounts of a namespace: what one mount wants read-only, another may need to write.
_SHARED_SUPERBLOCK = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2", "tmpfs")

# What a user namespace that owns too little may bind instead: the host's, which holds the same or more.
HOST_INSTEAD = {"sysfs": "/sys", "proc": "/proc", "mqueue": "/dev/mqueue"}


def words_of(mount: Mount) -> list[str]:
    """The filesystem's options one by one; a word of config.json may hold several, joined by commas."""
    result: list[str] = []
    for word in mount.options.data:
        result.extend([word] if '"' in word else [part for part in word.split(",") if part])
    return result


def needs_mount2(mount: Mount) -> bool:
    """Whether only mount(2) can take the options: fsconfig limits values to 255 bytes and lacks some flags."""
    if mount.options.superblock & ONLY_BY_MOUNT:
        return True
    return any(len(os.fsencode(word.partition("=")[2])) > _LONGEST_VALUE for word in mount.options.data)


def superblock_readonly(mount: Mount) -> bool:
    """Whether read-only goes to the filesystem itself (a device), and not to this mount of it alone."""
    return bool(mount.options.set & mounts.MOUNT_ATTR_RDONLY) and mount.type not in _SHARED_SUPERBLOCK


def create(mount: Mount, extra: list[str]) -> int:
    """A detached mount of a new filesystem; ``extra`` are options that its own may override. Raises StepError."""
    words = extra + words_of(mount)
    try:
        return _create(mount, words)
    except StepError as error:
        rest = _without_group(mount, words, error)
        if rest is None:
            raise
    return _create(mount, rest)


def _without_group(mount: Mount, words: list[str], error: StepError) -> list[str] | None:
    """In a user namespace the group of terminals (5) may not exist: then they belong to the mounter's."""
    rest = [word for word in words if not (word.startswith("gid=") and word[4:].isdigit())]
    return rest if error.errno == _EINVAL and mount.type == "devpts" and len(rest) < len(words) else None


def _create(mount: Mount, words: list[str]) -> int:
    context = -1
    try:
        context = mounts.fsopen(mount.type)
        _configure(context, mount, words)
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, mounts.FSMOUNT_CLOEXEC, mount.options.set | mount.options.recursive_set)
    except SyscallError as error:
        raise StepError(mount.name(), "", error.errno or 0, _hint(mount, error, context, words)) from error
    finally:
        if context >= 0:
            os.close(context)


def _configure(context: int, mount: Mount, words: list[str]) -> None:
    mounts.fsconfig_set_string(context, "source", mount.source or mount.type)
    for bit, name in SUPERBLOCK_WORDS:
        if mount.options.superblock & bit:
            mounts.fsconfig_set_flag(context, name)
    if superblock_readonly(mount):
        mounts.fsconfig_set_flag(context, "ro")
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            mounts.fsconfig_set_string(context, key, value.strip('"'))
        else:
            mounts.fsconfig_set_flag(context, key)


def _hint(mount: Mount, error: SyscallError, context: int, words: list[str]) -> str:
    said = [line[2:] for line in mounts.filesystem_log(context) if line[:2] in ("e ", "w ")] if context >= 0 else []
    if said:
        return "; ".join(said)
    if error.call == "fsopen":
        return f'the kernel knows no filesystem "{mount.type}"' if error.errno == 19 else ""
    if error.call == "fsconfig" and error.errno == _EINVAL:
        return f"option {error.subject}" if error.subject != "create" else f"options {','.join(words)}"
    return ""


def create_by_mount2(mount: Mount, target: int, extra: list[str]) -> None:
    """Mount a new filesystem straight on the directory ``target``. Raises StepError."""
    words = extra + mount.options.data
    try:
        _mount2(mount, target, words)
    except StepError as error:
        rest = _without_group(mount, words, error)
        if rest is None:
            raise
        _mount2(mount, target, rest)


def _mount2(mount: Mount, target: int, words: list[str]) -> None:
    data = ",".join(words)
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(target)
        mounts.mount(mount.source or mount.type, ".", mount.type, mount.options.mount_flags(), data or None)
    except OSError as error:
        hint = (
            f'the kernel knows no filesystem "{mount.type}"' if error.errno == 19 else f"options {data}" if data else ""
        )
        raise StepError(mount.name(), "", error.errno or 0, hint) from error
    finally:
        os.fchdir(before)
        os.close(before)
