"""Reading and writing control files: one open, one call, and an error that names the file and the configuration
field."""

import errno
import os

from railcar.errors import RailcarError

HINTS = {
    errno.ENOENT: "this kernel, or the parent group, does not offer it",
    errno.EINVAL: "the kernel refuses the value",
    errno.ERANGE: "the value is out of range",
    errno.EBUSY: "the group uses more than that, or is busy",
    errno.EACCES: "this user may not write it; the group must be delegated",
    errno.EPERM: "this user may not write it, or the parent group forbids it",
    errno.EROFS: "the cgroup filesystem is mounted read-only",
}


def read(path: str) -> str:
    """The whole text of a control file; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)


def read_or(path: str, default: str) -> str:
    """Like :func:`read`, with a default for a file that does not exist or cannot be read."""
    try:
        return read(path)
    except OSError:
        return default


def write(path: str, value: str) -> None:
    """Write a value in one call, as control files demand; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def reason(error: OSError) -> str:
    """The errno in words and by name: ``no such file or directory (ENOENT)``."""
    number = error.errno or 0
    return f"{os.strerror(number).lower()} ({errno.errorcode.get(number, number)})"


def refused(path: str, value: str, field: str, error: OSError) -> RailcarError:
    """The error for a value that a control file did not take."""
    hint = HINTS.get(error.errno or 0, "")
    about = f" for {field}" if field else ""
    return RailcarError(f"cgroup: write {value!r} to {path}{about}{': ' if hint else ''}{hint}: {reason(error)}")
