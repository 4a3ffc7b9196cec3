"""tmpcopyup: fill a new tmpfs with what its mount point holds. By descriptor, links are copied and never followed."""

from __future__ import annotations

import os
import stat

from railcar.errors import StepError

_CHUNK = 1 << 20
_UNSUPPORTED = (1, 22, 95)  # EPERM, EINVAL, ENOTSUP: attributes that a tmpfs, or this user, cannot have


def copy(source: int, target: int, step: str, *, keep_mode: bool = False) -> None:
    """Copy the directory ``source`` into the directory ``target`` (both may be O_PATH), modes, owners and times too.

    `keep_mode`: but for the mode of ``target`` itself, which its mount option says.
    """
    try:
        mode = stat.S_IMODE(os.stat(".", dir_fd=target).st_mode)
        _directory(_readable(source, "."), _readable(target, "."))
        if keep_mode:
            os.chmod(".", mode, dir_fd=target)
    except OSError as error:
        raise StepError(step, "tmpcopyup", error.errno or 0, str(error.filename or "")) from error
    except RecursionError:
        raise StepError(step, "tmpcopyup", hint="the image's directories are nested too deeply") from None


def _readable(fd: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)


def _directory(source: int, target: int) -> None:
    """Copy what is in a directory; both descriptors are used up."""
    try:
        for name in os.listdir(source):
            found = os.stat(name, dir_fd=source, follow_symlinks=False)
            _entry(source, target, name, found)
        found = os.fstat(source)
        os.fchown(target, found.st_uid, found.st_gid)
        os.fchmod(target, stat.S_IMODE(found.st_mode))
        _attributes(source, target)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(source)
        os.close(target)


def _entry(source: int, target: int, name: str, found: os.stat_result) -> None:
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        os.mkdir(name, 0o700, dir_fd=target)
        _directory(_readable(source, name), _readable(target, name))
        return
    if stat.S_ISREG(mode):
        _file(source, target, name, found)
        return
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, mode, found.st_rdev, dir_fd=target)
    os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _file(source: int, target: int, name: str, found: os.stat_result) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            while os.sendfile(writing, reading, None, _CHUNK):
                continue
            os.fchown(writing, found.st_uid, found.st_gid)
            os.fchmod(writing, stat.S_IMODE(found.st_mode))
            _attributes(reading, writing)
            os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _attributes(source: int, target: int) -> None:
    for name in os.listxattr(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
