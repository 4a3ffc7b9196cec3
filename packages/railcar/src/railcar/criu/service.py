"""A criu that serves one request of ours over a socket pair: `criu swrk`."""

import _socket
import errno
import os

from ocicommon.linux.sockets import receive_fds

from railcar.criu import messages
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: (name of the moment, pid of the first process, descriptors that came with it, which become the callee's)
    Notified = Callable[[str, int, list[int]], None]

_LARGEST = 1 << 16


def pair() -> tuple[_socket.socket, _socket.socket]:
    """(ours, criu's). criu takes descriptors in the options for those of the process that made the pair."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


def end(fd: int) -> _socket.socket:
    """An end of a pair that came as a descriptor."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)


def argv(program: str, theirs: _socket.socket) -> list[str]:
    """How criu is started, with its end of the pair, which it inherits from now on."""
    os.set_inheritable(theirs.fileno(), True)
    return [program, "swrk", str(theirs.fileno())]


def request(kind: int, options: "dict[str, Any]") -> bytes:
    """The first message of ours."""
    return messages.encode({"type": kind, "opts": options}, messages.REQUEST)


def talk(ours: _socket.socket, first: bytes, notified: "Notified") -> "dict[str, Any]":
    """Send the request, do what is to be done at each moment, and close the socket when criu has answered.

    The answer has `success`; where that is false, perhaps `cr_errmsg`. Empty: criu ended without one.
    Raises RailcarError.
    """
    try:
        ours.send(first)
        while True:
            data, fds = receive_fds(ours, _LARGEST)
            if not data:
                return {}
            answer = messages.decode(data, messages.RESPONSE)
            if answer.get("type") != messages.NOTIFY:
                for fd in fds:
                    os.close(fd)
                return answer
            moment = answer.get("notify") or {}
            notified(moment.get("script", ""), moment.get("pid", 0), fds)
            ours.send(messages.encode({"type": messages.NOTIFY, "notify_success": True}, messages.REQUEST))
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return {}
        raise RailcarError(f"criu: its socket: {error.strerror or error}") from None
    finally:
        ours.close()
