"""Files by descriptor: resolution inside a root, files in memory. openat2(2), memfd_create(2)."""

from __future__ import annotations

import os
import struct

from ocicommon.linux.calls import call, path_bytes
from ocicommon.linux.errors import SyscallError

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

MFD_CLOEXEC = 0x1
MFD_ALLOW_SEALING = 0x2
MFD_NOEXEC_SEAL = 0x8
MFD_EXEC = 0x10

F_SEAL_SEAL = 0x1
F_SEAL_SHRINK = 0x2
F_SEAL_GROW = 0x4
F_SEAL_WRITE = 0x8
F_SEAL_FUTURE_WRITE = 0x10
F_SEAL_EXEC = 0x20
_F_ADD_SEALS = 1033
_F_GET_SEALS = 1034
_EAGAIN = 11
_EINVAL = 22

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


def openat2(dir_fd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open with rules for the way there; always close-on-exec.

    EAGAIN, which the kernel answers when a rename raced with a resolution under RESOLVE_IN_ROOT or RESOLVE_BENEATH,
    is tried again a bounded number of times.
    """
    how = struct.pack("3Q", flags | os.O_CLOEXEC, mode, resolve)
    encoded = path_bytes(path, "openat2")
    for _ in range(128):
        try:
            return call("openat2", dir_fd, encoded, how, len(how), subject=path)
        except SyscallError as error:
            if error.errno != _EAGAIN or resolve & RESOLVE_CACHED:
                raise
    raise SyscallError(_EAGAIN, "openat2", os.fsdecode(path))


def memfd_create(name: str | bytes, flags: int = MFD_CLOEXEC) -> int:
    """An anonymous file; ``name`` shows in /proc/PID/fd only."""
    return call("memfd_create", path_bytes(name, "memfd_create"), flags, subject=name)


def add_seals(fd: int, seals: int = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) -> None:
    """Forbid changes for good; EBUSY while it is mapped for writing."""
    call("fcntl", fd, _F_ADD_SEALS, seals, subject="F_ADD_SEALS")


def seals(fd: int) -> int:
    """The F_SEAL_* bits of a memfd; EINVAL on a file that cannot be sealed."""
    return call("fcntl", fd, _F_GET_SEALS, 0, subject="F_GET_SEALS")


def sealed_memfd(name: str | bytes, data: bytes, executable: bool = True) -> int:
    """An anonymous file with this content that nobody can change; EACCES when vm.memfd_noexec=2 forbids executables."""
    flags = MFD_CLOEXEC | MFD_ALLOW_SEALING
    try:
        fd = memfd_create(name, flags | (MFD_EXEC if executable else MFD_NOEXEC_SEAL))
    except SyscallError as error:
        if error.errno != _EINVAL:  # before Linux 6.3 the kernel does not know the two flags, and all are executable
            raise
        fd = memfd_create(name, flags)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        add_seals(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def renameat2(from_fd: int, old: str | bytes, to_fd: int, new: str | bytes, flags: int = 0) -> None:
    """Rename; RENAME_EXCHANGE swaps two names in one step."""
    encoded = path_bytes(old, "renameat2"), path_bytes(new, "renameat2")
    call("renameat2", from_fd, encoded[0], to_fd, encoded[1], flags, subject=new)
