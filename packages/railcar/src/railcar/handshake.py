"""The numbered talk between the host's side and the child, over a socket pair that keeps message borders.

From the child: what it reached (one letter), or E with an error. From the host's side: G to go on. The end of the
stream is the other's death, or (from the child, after the last G) the exec of the stub.
"""

import _socket
import os

from ocicommon.linux.sockets import receive_fds, send_fds

from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAPS = b"M"  # in a new user namespace, or not yet in its cgroup: write the id maps, put it there
BORN = b"B"  # of the process between: the pid of the child it made
LENT = b"L"  # with a detached mount, whose ids only the host's side may map
LISTENER = b"N"  # the number that the seccomp listener will have
MOUNTED = b"D"  # the mounts are done: hooks of the host's side may run
READY = b"R"  # everything is done but the exec
ERROR = b"E"
HOOKS = b"H"  # in the reply to `start`: what came of the startContainer hooks
GO = b"G"
_GONE = (32, 104)  # EPIPE, ECONNRESET
_LONGEST = 1 << 18

#: What the child was doing when it died, by the last message that came from it.
DOING = {
    b"": "entering its namespaces",
    MAPS: "making its mounts",
    BORN: "making its mounts",
    MOUNTED: "entering its root",
}


class Channel:
    """One end. `peer` is the other end until `keep_*` has been called on this one's side of the fork."""

    __slots__ = ("child", "host", "last")

    def __init__(self) -> None:
        self.host, self.child = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.last = b""

    def in_child(self) -> None:
        """Close the host's end: else the child would never see that the host's side died."""
        self.host.close()

    def in_host(self) -> None:
        """Close the child's end."""
        self.child.close()

    def tell(self, kind: bytes, payload: bytes = b"") -> None:
        """From the child."""
        self.child.send(kind + payload, _socket.MSG_NOSIGNAL)

    def ask(self, kind: bytes, payload: bytes = b"") -> bytes:
        """From the child: say what was reached, and wait for the word to go on; what came with it.

        Exits when the host's side is dead.
        """
        self.tell(kind, payload)
        answer = self.child.recv(65536)  # not recvmsg, nor for more: a filter may be in by now
        if answer[:1] != GO:
            os._exit(1)
        return answer[1:]

    def lend(self, fd: int) -> None:
        """From the child: hand over a descriptor, and wait until the host's side is done with it."""
        send_fds(self.child, LENT, [fd])
        self.wait()

    def borrow(self) -> int:
        """On the host's side: the descriptor that the child lends, -1 when it is dead. Raises the child's error."""
        try:
            message, fds = receive_fds(self.host, _LONGEST)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            message, fds = receive_fds(self.host, _LONGEST)
        if message[:1] == ERROR:
            raise decode(message[1:])
        return fds[0] if fds else -1

    def wait(self) -> tuple[bytes, list[int]]:
        """From the child: wait for the word to go on; (what came with it, descriptors, close-on-exec)."""
        answer, fds = receive_fds(self.child, _LONGEST)
        if answer[:1] != GO:
            os._exit(1)
        return answer[1:], fds

    def tell_error(self, error: BaseException) -> None:
        """From the child: hand the error to the host's side."""
        try:
            self.child.send(encode_error(error), _socket.MSG_NOSIGNAL)
        except OSError:
            return

    def go(self, payload: bytes = b"", fds: "Sequence[int]" = ()) -> None:
        """From the host's side."""
        try:
            send_fds(self.host, GO + payload, fds)
        except OSError as error:
            if error.errno not in _GONE:  # the child is dead, and `hear` will tell
                raise

    def hear(self) -> tuple[bytes, bytes]:
        """On the host's side: (kind, payload), (b"", b"") at the end. Raises the child's error."""
        try:
            message = self.host.recv(65536)
        except ConnectionResetError:
            # It died with a word of ours unread, of which the kernel tells once, before what it had said itself.
            message = self.host.recv(65536)
        kind, payload = message[:1], message[1:]
        if kind == ERROR:
            raise decode(payload)
        if kind:
            self.last = kind
        return kind, payload


def encode_error(error: BaseException) -> bytes:
    """The message for an error, of whatever kind."""
    if isinstance(error, StepError):
        fields = [error.step, error.subject, str(error.errno), error.hint, str(error.code)]
    elif isinstance(error, RailcarError):
        fields = [error.message, "", "0", "", str(error.code)]
    elif isinstance(error, OSError):
        subject = getattr(error, "subject", None) or error.filename or ""
        fields = [str(getattr(error, "call", "") or "set-up"), os.fsdecode(subject), str(error.errno or 0), "", "1"]
    else:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
        fields = [f"railcar failed in a way it should not ({where}): {type(error).__name__}: {error}", "", "0", "", "1"]
    return ERROR + "\0".join(fields).encode("utf-8", "surrogateescape")[:60000]


def decode(payload: bytes) -> RailcarError:
    """The child's error again."""
    fields = payload.decode("utf-8", "surrogateescape").split("\0")
    if len(fields) != 5:
        return RailcarError("the container's set-up failed with an error that cannot be read")
    step, subject, errno, hint, code = fields
    if not subject and not hint and errno == "0":
        return RailcarError(step, int(code))
    return StepError(step, subject, int(errno), hint, int(code))
