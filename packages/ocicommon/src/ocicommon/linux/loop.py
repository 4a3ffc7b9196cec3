"""Loop devices: a file as a block device. loop(4)."""

from __future__ import annotations

import os
import struct

from ocicommon.linux.calls import buffer, call
from ocicommon.linux.errors import SyscallError

_CTL_GET_FREE = 0x4C82
_CLR_FD = 0x4C01
_CONFIGURE = 0x4C0A
_READ_ONLY = 1
_AUTOCLEAR = 4
_MAJOR = 7
_EBUSY = 16
_ENODEV = 19
_TRIES = 64

# struct loop_config: u32 fd, u32 block_size, struct loop_info64 (lo_flags at 52, lo_file_name at 56), u64[8].
_CONFIG_SIZE = 304
_FLAGS_AT = 8 + 52
_NAME_AT = 8 + 56


def attach(fd: int, *, read_only: bool, autoclear: bool = True, name: bytes = b"") -> tuple[str, int]:
    """(path, descriptor) of a free loop device that now shows the file ``fd``; ``name`` is for losetup to show.

    With ``autoclear`` the device frees itself when the last user, mount or descriptor, is gone. ENOENT where there
    is no /dev/loop-control.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = call("ioctl", control, _CTL_GET_FREE, 0, subject="LOOP_CTL_GET_FREE")
            path = f"/dev/loop{number}"
            device = _open(path, number, read_only)
            try:
                configure(device, fd, read_only=read_only, autoclear=autoclear, name=name)
            except SyscallError as error:
                os.close(device)
                if error.errno != _EBUSY:  # another process was given the same free device
                    raise
                continue
            return path, device
    finally:
        os.close(control)
    raise SyscallError(_EBUSY, "ioctl", "LOOP_CONFIGURE")


def _open(path: str, number: int, read_only: bool) -> int:
    flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        # Without udev on /dev nobody makes the node of a new device.
        os.mknod(path, 0o600 | 0o060000, os.makedev(_MAJOR, number))
        return os.open(path, flags)


def configure(device: int, fd: int, *, read_only: bool, autoclear: bool, name: bytes = b"") -> None:
    """Give an open loop device its file."""
    config = bytearray(_CONFIG_SIZE)
    struct.pack_into("I", config, 0, fd)
    struct.pack_into("I", config, _FLAGS_AT, (_READ_ONLY if read_only else 0) | (_AUTOCLEAR if autoclear else 0))
    config[_NAME_AT : _NAME_AT + 64] = name[:63].ljust(64, b"\0")
    call("ioctl", device, _CONFIGURE, buffer(bytes(config)), subject="LOOP_CONFIGURE")


def clear(device: int) -> None:
    """Take the file away; with users left, when the last of them goes."""
    call("ioctl", device, _CLR_FD, 0, subject="LOOP_CLR_FD")
