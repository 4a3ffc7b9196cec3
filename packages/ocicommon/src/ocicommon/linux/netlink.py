"""Network devices by rtnetlink: what moving one into a container takes. rtnetlink(7)."""

from __future__ import annotations

import _socket
import struct

from ocicommon.linux.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_AF_NETLINK = 16
_AF_UNSPEC = 0
_NETLINK_ROUTE = 0

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_RTM_SETLINK = 19
_RTM_GETLINK = 18
_RTM_NEWADDR = 20
_RTM_GETADDR = 22

_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
_NLM_F_DUMP = 0x300
_NLM_F_CREATE_EXCLUSIVE = 0x600

_IFLA_IFNAME = 3
_IFLA_NET_NS_FD = 28
_IFA_F_PERMANENT = 0x80
_IFA_FLAGS = 8
_IFF_UP = 1

_HEADER = struct.Struct("IHHII")
_IFINFO = struct.Struct("BxHiII")
_IFADDR = struct.Struct("BBBBI")
_LONGEST_NAME = 15


class Route:
    """A connection to the kernel's routing tables, of the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Route:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def index(self, name: str) -> int:
        """The index of a link; ENODEV when there is none of this name."""
        body = _IFINFO.pack(_AF_UNSPEC, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, _name(name))
        for _kind, payload in self._request(_RTM_GETLINK, 0, body, f"of {name}"):
            found: int = _IFINFO.unpack_from(payload)[2]
            return found
        raise SyscallError(19, "RTM_GETLINK", f"of {name}")

    def move(self, index: int, namespace_fd: int, name: str | None = None) -> None:
        """Move a link into a network namespace, down and without its addresses, and rename it on the way.

        EEXIST when the name is taken there.
        """
        body = _IFINFO.pack(_AF_UNSPEC, 0, index, 0, 0) + _attribute(_IFLA_NET_NS_FD, struct.pack("I", namespace_fd))
        if name is not None:
            body += _attribute(_IFLA_IFNAME, _name(name))
        self._acknowledged(_RTM_SETLINK, 0, body, f"move of link {index}")

    def rename(self, index: int, name: str) -> None:
        """Rename a link; EBUSY on kernels where it must be down for that."""
        body = _IFINFO.pack(_AF_UNSPEC, 0, index, 0, 0) + _attribute(_IFLA_IFNAME, _name(name))
        self._acknowledged(_RTM_SETLINK, 0, body, f"rename to {name}")

    def set_up(self, index: int, up: bool = True) -> None:
        """Bring a link up, or down."""
        body = _IFINFO.pack(_AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
        self._acknowledged(_RTM_SETLINK, 0, body, f"{'up' if up else 'down'} of link {index}")

    def addresses(self, index: int) -> list[bytes]:
        """The permanent global addresses of a link, in a form that ``add_address`` takes."""
        kept = []
        for _kind, payload in self._request(_RTM_GETADDR, _NLM_F_DUMP, _IFADDR.pack(_AF_UNSPEC, 0, 0, 0, 0), "dump"):
            _family, _prefix, flags, scope, owner = _IFADDR.unpack_from(payload)
            if owner == index and flags & _IFA_F_PERMANENT and scope == 0:
                kept.append(payload)
        return kept

    def add_address(self, index: int, address: bytes) -> None:
        """Give a link an address that ``addresses`` returned, perhaps in another namespace."""
        family, prefix, flags, scope, _ = _IFADDR.unpack_from(address)
        wanted = b"".join(
            _attribute(kind, value)
            for kind, value in _attributes(address[_IFADDR.size :])
            if kind in (1, 2, 3, 4, _IFA_FLAGS)  # address, local, label, broadcast
        )
        body = _IFADDR.pack(family, prefix, flags, scope, index) + wanted
        self._acknowledged(_RTM_NEWADDR, _NLM_F_CREATE_EXCLUSIVE, body, f"on link {index}")

    def _acknowledged(self, kind: int, flags: int, body: bytes, subject: str) -> None:
        for _ in self._request(kind, flags | _NLM_F_ACK, body, subject):
            continue

    def _request(self, kind: int, flags: int, body: bytes, subject: str) -> Iterator[tuple[int, bytes]]:
        self._sequence += 1
        size = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(size, kind, flags | _NLM_F_REQUEST, self._sequence, 0) + body)
        more = bool(flags & (_NLM_F_DUMP | _NLM_F_ACK))
        while True:
            data = self._socket.recv(1 << 16)
            at = 0
            while at + _HEADER.size <= len(data):
                length, answer, _flags, sequence, _port = _HEADER.unpack_from(data, at)
                payload = data[at + _HEADER.size : at + length]
                at += length + 3 & ~3
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return
                if answer == _NLMSG_ERROR:
                    code: int = struct.unpack_from("i", payload)[0]
                    if code:
                        raise SyscallError(-code, f"rtnetlink {_NAMES[kind]}", subject)
                    return
                yield answer, payload
                if not more:
                    return


_NAMES = {
    _RTM_SETLINK: "RTM_SETLINK",
    _RTM_GETLINK: "RTM_GETLINK",
    _RTM_NEWADDR: "RTM_NEWADDR",
    _RTM_GETADDR: "RTM_GETADDR",
}


def _name(name: str) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= _LONGEST_NAME or b"\0" in encoded:
        raise SyscallError(22, "rtnetlink", f"interface name {name!r}")
    return encoded + b"\0"


def _attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * padding


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("HH", data, at)
        if length < 4:
            return
        yield kind, data[at + 4 : at + length]
        at += length + 3 & ~3
