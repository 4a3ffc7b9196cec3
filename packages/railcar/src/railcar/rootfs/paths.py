"""Ways into a container's root, by descriptor only: nothing here follows a link or a race out of it.

Every function takes a descriptor of the root and a path as the container would say it; links are followed inside the
root (openat2's RESOLVE_IN_ROOT), magic links never, and what is missing is made one component at a time.
"""

from __future__ import annotations

import os
import stat

from ocicommon.linux import mounts
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

_ENOENT = 2
_EEXIST = 17
_EINVAL = 22
_ELOOP = 40
_MOST_LINKS = 40
_PROC_ROOT = 1  # its inode

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NOFOLLOW = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def resolve(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of what is at ``path``; raises SyscallError (ENOENT, ENOTDIR, ELOOP...)."""
    return openat2(root_fd, path, flags, 0, _INSIDE)


def resolve_plain(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """The same where no component may be a link: ELOOP when one is."""
    return openat2(root_fd, path, flags, 0, _INSIDE | RESOLVE_NO_SYMLINKS)


def make_directory(root_fd: int, path: str, mode: int = 0o755, missing: bool = False) -> int:
    """A descriptor of the directory at ``path``, which is made with its parents where missing.

    ``missing``: it was not there a moment ago.
    """
    return _make(root_fd, path, True, mode, missing)


def make_file(root_fd: int, path: str, mode: int = 0o755, missing: bool = False) -> int:
    """A descriptor of the file at ``path`` (any type but a directory), which is made empty where missing."""
    return _make(root_fd, path, False, mode, missing)


def _make(root_fd: int, path: str, directory: bool, mode: int, missing: bool) -> int:
    flags = _DIRECTORY if directory else os.O_PATH
    for _ in range(_MOST_LINKS):
        try:
            if not missing:
                return openat2(root_fd, path, flags, 0, _INSIDE)
        except SyscallError as error:
            if error.errno != _ENOENT:
                raise
        missing = False
        further = _make_missing(root_fd, path, directory, mode)
        if isinstance(further, int):
            return further
        path = further
    raise SyscallError(_ELOOP, "openat2", path)


def _make_missing(root_fd: int, path: str, directory: bool, mode: int) -> int | str:
    """Make the missing components: the last one's descriptor, or, met with a dangling link, the path it leads to."""
    parts = [part for part in path.split("/") if part and part != "."]
    depth = len(parts) - 1
    here = -1
    while here < 0:
        try:
            here = openat2(root_fd, "/".join(parts[:depth]) or ".", _DIRECTORY, 0, _INSIDE)
        except SyscallError as error:
            if error.errno != _ENOENT or depth == 0:
                raise
            depth -= 1
    try:
        for position in range(depth, len(parts)):
            part = parts[position]
            last = position == len(parts) - 1
            if part == "..":
                raise SyscallError(_ENOENT, "openat2", path)
            if not _make_one(here, part, directory or not last, mode):
                target = _link_target(here, part)
                if target is not None:
                    prefix = "" if target.startswith("/") else "/".join(parts[:position]) + "/"
                    return "/".join([prefix + target, *parts[position + 1 :]])
            below = os.open(part, _NOFOLLOW | (os.O_DIRECTORY if directory or not last else 0), dir_fd=here)
            os.close(here)
            here = below
        result, here = here, -1
        return result
    except SyscallError:
        raise
    except OSError as error:
        raise SyscallError(error.errno or 0, "create", path) from error
    finally:
        if here >= 0:
            os.close(here)


def _make_one(here: int, name: str, directory: bool, mode: int) -> bool:
    """False when there is something of that name already."""
    try:
        if directory:
            os.mkdir(name, mode, dir_fd=here)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode, dir_fd=here))
    except OSError as error:
        if error.errno != _EEXIST:
            raise
        return False
    return True


def _link_target(here: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=here)
    except OSError as error:
        if error.errno in (_EINVAL, _ENOENT):
            return None
        raise


def is_procfs(fd: int) -> bool:
    """Whether this is the root of a proc filesystem, and not only something of one. proc(5)"""
    return mounts.filesystem_type(fd) == mounts.PROC_SUPER_MAGIC and os.fstat(fd).st_ino == _PROC_ROOT


def is_directory(fd: int) -> bool:
    """Whether the open file is one."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)
