"""The messages of criu's protocol: as much of its rpc.proto as checkpoint and restore take, in the encoding of protocol
buffers (https://protobuf.dev/programming-guides/encoding/).

A message is a dict. Its shape names the fields by number; a field that is a message has a shape of its own.
"""

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Shape = dict[str, "int | tuple[int, Shape]"]

OPTIONS: "Shape" = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": (11, {"address": 1, "port": 2}),
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "cg_root": (25, {"ctrl": 1, "path": 2}),
    "rst_sibling": 26,
    "inherit_fd": (27, {"key": 1, "fd": 2}),
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": (39, {"ns": 1, "ns_file": 2}),
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "orphan_pts_master": 50,
    "config_file": 51,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
}
REQUEST: "Shape" = {"type": 1, "opts": (2, OPTIONS), "notify_success": 3}
RESPONSE: "Shape" = {
    "type": 1,
    "success": 2,
    "restore": (4, {"pid": 1}),
    "notify": (5, {"script": 1, "pid": 2}),
    "cr_errno": 7,
    "cr_errmsg": 9,
}
# What a request, and the answer to it, is of.
DUMP, RESTORE, NOTIFY, PRE_DUMP = 1, 2, 6, 13
_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def encode(values: "dict[str, Any]", shape: "Shape") -> bytes:
    """A message as bytes. Values are int, bool, str, dicts for messages, and lists of these for repeated fields."""
    data = bytearray()
    for name, value in values.items():
        found = shape[name]
        number, inner = found if isinstance(found, tuple) else (found, {})
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                data += _varint(number << 3 | _NUMBER) + _varint(one & (1 << 64) - 1)
            else:
                content = encode(one, inner) if isinstance(one, dict) else one.encode("utf-8", "surrogateescape")
                data += _varint(number << 3 | _BYTES) + _varint(len(content)) + content
    return bytes(data)


def decode(data: bytes, shape: "Shape") -> "dict[str, Any]":
    """A message from its bytes: the fields that the shape names, the last of repeated ones. Raises RailcarError."""
    names = {found[0] if isinstance(found, tuple) else found: name for name, found in shape.items()}
    values: dict[str, Any] = {}
    try:
        at = 0
        while at < len(data):
            tag, at = _read(data, at)
            value, at = _value(data, at, tag & 7)
            name = names.get(tag >> 3)
            if name is None:
                continue
            inner = shape[name]
            if isinstance(value, bytes):
                values[name] = decode(value, inner[1]) if isinstance(inner, tuple) else value.decode("utf-8", "replace")
            else:
                values[name] = value - (1 << 64) if value >> 63 else value
    except IndexError:
        raise RailcarError("criu answers with a message that is cut off, or none of its protocol") from None
    return values


def _value(data: bytes, at: int, kind: int) -> "tuple[int | bytes, int]":
    """(value of a field of this wire type, where the next begins). Raises IndexError."""
    if kind == _NUMBER:
        return _read(data, at)
    size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, -1)
    if kind == _BYTES:
        size, at = _read(data, at)
    if size < 0 or at + size > len(data):
        raise IndexError
    return data[at : at + size], at + size


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """(varint, where the next field begins). Raises IndexError."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        if shift > 63:
            raise IndexError
