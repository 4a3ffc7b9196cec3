"""Descriptors over Unix sockets. unix(7). ``_socket``, because ``socket`` imports enum and selectors."""

from __future__ import annotations

import _socket
import struct

from ocicommon.linux.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_DESCRIPTORS = 253
_CREDENTIALS = struct.Struct("iII")


def send_fds(sock: _socket.socket, payload: bytes, fds: Sequence[int]) -> None:
    """Send ``payload`` (at least one byte, or a stream would drop the rest) with copies of these descriptors."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    try:
        sent = sock.sendmsg([payload], rights, _socket.MSG_NOSIGNAL)
        while sent < len(payload):
            sent += sock.send(payload[sent:], _socket.MSG_NOSIGNAL)
    except OSError as error:
        raise SyscallError(error.errno or 0, "sendmsg", "with descriptors") from error


def receive_fds(sock: _socket.socket, size: int = 4096, most: int = _MOST_DESCRIPTORS) -> tuple[bytes, list[int]]:
    """(payload, descriptors), the descriptors close-on-exec; (b"", []) at the end of the stream.

    Every descriptor that came is returned, so that the caller can close what it did not expect.
    """
    room = _socket.CMSG_SPACE(4 * most)
    try:
        payload, ancillary, _flags, _address = sock.recvmsg(size, room, _socket.MSG_CMSG_CLOEXEC)
    except OSError as error:
        raise SyscallError(error.errno or 0, "recvmsg", "with descriptors") from error
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.extend(struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4]))
    return payload, fds


def peer_credentials(sock: _socket.socket) -> tuple[int, int, int]:
    """(pid, uid, gid) of the other end when it connected, by the kernel's word."""
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid, gid


def want_credentials(sock: _socket.socket) -> None:
    """Have the kernel put the sender's pid, uid and gid on every message that arrives here."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)


def receive_with_credentials(sock: _socket.socket, size: int = 4096) -> tuple[bytes, tuple[int, int, int] | None]:
    """(payload, (pid, uid, gid) of who sent it, as seen from here); needs ``want_credentials`` before the sending."""
    room = _socket.CMSG_SPACE(_CREDENTIALS.size)
    try:
        payload, ancillary, _flags, _address = sock.recvmsg(size, room, _socket.MSG_CMSG_CLOEXEC)
    except OSError as error:
        raise SyscallError(error.errno or 0, "recvmsg", "with credentials") from error
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_CREDENTIALS:
            pid, uid, gid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
            return payload, (pid, uid, gid)
    return payload, None
