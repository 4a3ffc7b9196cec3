"""Device programs on cgroup2: loading, attaching, asking. bpf(2). The instructions are the caller's."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import address, buffer, call
from ocicommon.linux.errors import SyscallError

_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_DETACH = 9
_PROG_GET_FD_BY_ID = 13
_PROG_QUERY = 16

_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6

ALLOW_OVERRIDE = 1
ALLOW_MULTI = 2
REPLACE = 4

_ENOSPC = 28
_LOG_SIZE = 1 << 16


def load_device_program(instructions: bytes, name: str = "railcar_devices") -> int:
    """A descriptor of a BPF_PROG_TYPE_CGROUP_DEVICE program; the verifier's last words are in the error's subject."""
    code = buffer(instructions)
    text = buffer(b"Apache\0")
    try:
        return _load(code, len(instructions) // 8, text, name, None)
    except SyscallError as error:
        if error.errno not in (22, 13):
            raise
        log = buffer(_LOG_SIZE)
        try:
            return _load(code, len(instructions) // 8, text, name, log)
        except SyscallError as again:
            said = log.raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
            raise SyscallError(again.errno or 0, "bpf", f"device program ({said})" if said else again.subject) from None


def _load(code: object, count: int, text: object, name: str, log: object | None) -> int:
    attributes = struct.pack(
        "IIQQIIQII16s",
        _TYPE_CGROUP_DEVICE,
        count,
        address(code),
        address(text),
        1 if log else 0,
        _LOG_SIZE if log else 0,
        address(log) if log else 0,
        0,
        0,
        name.encode("ascii", "replace")[:15],
    )
    return call("bpf", _PROG_LOAD, buffer(attributes), len(attributes), subject="device program")


def attach(cgroup_fd: int, program_fd: int, flags: int = ALLOW_MULTI, replace_fd: int = -1) -> None:
    """Attach to a cgroup2 directory; with REPLACE, in the place of the program ``replace_fd``."""
    attributes = struct.pack("5I", cgroup_fd, program_fd, _CGROUP_DEVICE, flags, max(replace_fd, 0))
    call("bpf", _PROG_ATTACH, buffer(attributes), len(attributes), subject="attach to cgroup")


def detach(cgroup_fd: int, program_fd: int) -> None:
    """Take a program off a cgroup2 directory."""
    attributes = struct.pack("3I", cgroup_fd, program_fd, _CGROUP_DEVICE)
    call("bpf", _PROG_DETACH, buffer(attributes), len(attributes), subject="detach from cgroup")


def query(cgroup_fd: int) -> list[int]:
    """The ids of the device programs attached right to this cgroup."""
    room = 64
    while True:
        ids = buffer(4 * room)
        attributes = buffer(struct.pack("4IQIxxxx", cgroup_fd, _CGROUP_DEVICE, 0, 0, address(ids), room))
        try:
            call("bpf", _PROG_QUERY, attributes, 32, subject="programs of cgroup")
        except SyscallError as error:
            if error.errno != _ENOSPC:
                raise
            room *= 2
            continue
        count: int = struct.unpack_from("I", attributes.raw, 24)[0]
        return list(struct.unpack_from(f"{count}I", ids.raw))


def program_fd(program_id: int) -> int:
    """A descriptor of the program with this id."""
    attributes = struct.pack("3I", program_id, 0, 0)
    return call("bpf", _PROG_GET_FD_BY_ID, buffer(attributes), len(attributes), subject=f"program {program_id}")
