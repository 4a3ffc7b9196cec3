"""The session's own /dev: a new tmpfs over the container's, with every old entry and submount, and crashcart besides.

A private mount namespace still shares its filesystems: a directory made in the container's /dev would be seen by the
container, and its removal there would take the session's mount away. So nothing is made in it.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_RECURSIVE, AT_SYMLINK_NOFOLLOW
from ocicommon.linux.errors import SyscallError

from crashcart import image, kernel, report
from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY = "crashcart"
# Names that fit into strings of programs that ``crashcart build`` relocates; see crashcart.build.relocate.
_SHORT = ".cc"
_SHELL = "sh"
_ACCOUNTS = ((".ccpwd", "passwd"), (".ccgr", "group"))
_LARGEST_ACCOUNTS = 1 << 20
_DEVICES = "/dev"
_OPTIONS = (("mode", "755"), ("size", "1m"))
_DEVPTS = (("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"))
_OURS = frozenset((ENTRY, _SHORT, _SHELL, *(name for name, _ in _ACCOUNTS)))
DIRECTORY, LINK, OTHER = "directory", "link", "other"


def _add_short_names(new: int) -> None:
    """What only a session's own /dev has: a short way to the tools, and the accounts that programs look up."""
    try:
        os.stat(f"{ENTRY}/.crashcart.json", dir_fd=new, follow_symlinks=False)
    except OSError:
        return
    os.symlink(ENTRY, _SHORT, dir_fd=new)
    os.symlink(f"{ENTRY}/bin/sh", _SHELL, dir_fd=new)
    for name, accounts in _ACCOUNTS:
        text = merge(_read_file(f"/etc/{accounts}", -1), _read_file(f"{ENTRY}/etc/{accounts}", new))
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=new)
        try:
            os.fchmod(fd, 0o644)
            os.write(fd, text)
        finally:
            os.close(fd)


def _read_file(path: str, directory: int) -> bytes:
    """A regular file, as far as it is of a sensible size; nothing when it is not there or anything else."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, dir_fd=None if directory < 0 else directory)
    except OSError:
        return b""
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return b""
        return os.read(fd, _LARGEST_ACCOUNTS)
    except OSError:
        return b""
    finally:
        os.close(fd)


def merge(container: bytes, ours: bytes) -> bytes:
    """The container's accounts, and those of ours that it has no name for. passwd(5), group(5)."""
    known = {line.split(b":")[0] for line in container.splitlines()}
    more = [line for line in ours.splitlines() if line.split(b":")[0] not in known]
    lines = [line for line in container.splitlines() if line.count(b":") >= 3]
    return b"".join(line + b"\n" for line in [*lines, *more])


def plan(entries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(name, kind) of what is made in the new /dev, in order: all of the old one but what has a name of ours."""
    return sorted((name, kind) for name, kind in entries if name not in _OURS)


def entries(directory: int) -> list[tuple[str, str]]:
    """(name, kind) of an open directory, told by the directory itself: no entry is touched, so none can hang."""
    with os.scandir(directory) as scan:
        return [
            (
                entry.name,
                LINK if entry.is_symlink() else DIRECTORY if entry.is_dir(follow_symlinks=False) else OTHER,
            )
            for entry in scan
        ]


def cover(tools: image.Tools) -> int:
    """Put the new /dev in place, in a mount namespace of the caller's own; returns it, open.

    CrashcartError when the container has no /dev to cover; SyscallError when the kernel refuses.
    """
    try:
        old = os.open(_DEVICES, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CrashcartError(
            f"the container's {_DEVICES} is no directory ({error.strerror}): nothing to mount on"
        ) from error
    try:
        new = _tmpfs()
        for name, kind in plan(entries(old)):
            try:
                _repeat(old, new, name, kind)
            except OSError as error:
                report.note(f"{_DEVICES}/{name} of the container is left out of the session: {error}")
        if not _is_terminals(new):
            _own_terminals(new)
        os.mkdir(ENTRY, 0o755, dir_fd=new)
        image.place(tools, new, ENTRY)
        _add_short_names(new)
        return new
    finally:
        os.close(old)


def _tmpfs() -> int:
    if kernel.may_use("mount-fd"):
        try:
            new = _filesystem("tmpfs", _OPTIONS, mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NOEXEC)
            mounts.move_mount(new, "", -100, _DEVICES, mounts.MOVE_MOUNT_F_EMPTY_PATH)
            return new
        except SyscallError as error:
            if not kernel.is_missing(error.errno or 0):
                raise
    options = ",".join(f"{key}={value}" for key, value in _OPTIONS)
    mounts.mount("tmpfs", _DEVICES, "tmpfs", mounts.MS_NOSUID | mounts.MS_NOEXEC, options)
    return os.open(_DEVICES, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _filesystem(kind: str, options: tuple[tuple[str, str], ...], attributes: int) -> int:
    context = mounts.fsopen(kind)
    try:
        for key, value in options:
            if value:
                mounts.fsconfig_set_string(context, key, value)
            else:
                mounts.fsconfig_set_flag(context, key)
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, attributes=attributes)
    finally:
        os.close(context)


def _repeat(old: int, new: int, name: str, kind: str) -> None:
    """Give the new /dev the entry of the old one: a link as a link, all else by a bind mount."""
    if kind == LINK:
        os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
        return
    if kind == DIRECTORY:
        os.mkdir(name, 0o755, dir_fd=new)
    else:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=new))
    if kernel.may_use("mount-fd"):
        flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW
        try:
            tree = mounts.open_tree(old, name, flags)
        except SyscallError as error:
            if not kernel.is_missing(error.errno or 0):
                raise
        else:
            try:
                mounts.move_mount(tree, "", new, name, mounts.MOVE_MOUNT_F_EMPTY_PATH)
            finally:
                os.close(tree)
            return
    os.fchdir(old)  # the old /dev is covered, but still where a relative path starts
    mounts.mount(name, f"{_DEVICES}/{name}", None, mounts.MS_BIND | mounts.MS_REC)


def _is_terminals(new: int) -> bool:
    """Whether /dev/pts has pseudo-terminals, as containers without one of their own do not."""
    try:
        directory = os.open("pts", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=new)
    except OSError:
        return False
    try:
        return mounts.filesystem_type(directory) == mounts.DEVPTS_SUPER_MAGIC
    finally:
        os.close(directory)


def _own_terminals(new: int) -> None:
    """Pseudo-terminals for the session where the container has none."""
    try:
        os.mkdir("pts", 0o755, dir_fd=new)
    except FileExistsError:
        pass
    try:
        tree = _filesystem("devpts", _DEVPTS, mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NOEXEC)
    except SyscallError as error:
        report.note(f"the container has no pseudo-terminals, and there can be none for the session: {error}")
        return
    try:
        mounts.move_mount(tree, "", new, "pts", mounts.MOVE_MOUNT_F_EMPTY_PATH)
    except SyscallError as error:
        report.note(f"the container has no pseudo-terminals, and there can be none for the session: {error}")
    finally:
        os.close(tree)
    try:
        os.symlink("pts/ptmx", "ptmx", dir_fd=new)
    except FileExistsError:
        return
