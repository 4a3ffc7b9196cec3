"""A child of ours that another process of ours makes, one that nobody inside the container sees."""

import _socket
import os

from ocicommon.linux.namespaces import CLONE_NEWPID, setns
from ocicommon.linux.process import CLONE_PARENT, clone3, close_range, pidfd_open, set_parent_death_signal
from ocicommon.linux.sockets import receive_with_credentials, want_credentials

from railcar import birth
from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.handshake import Channel


class Birth:
    """The host's side of a child that another process of ours makes: its pid is the kernel's word, not a message."""

    __slots__ = ("ours", "theirs")

    def __init__(self) -> None:
        self.ours, self.theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        want_credentials(self.ours)

    def pid(self, between: int) -> int:
        """The pid of the child, once the process between has said it and ended. 0 when it died without a word."""
        self.theirs.close()
        try:
            while True:
                payload, sender = receive_with_credentials(self.ours, 64)
                if not payload:
                    return 0
                if sender is not None and sender[0] == between:
                    return int(payload)
        finally:
            os.waitpid(between, 0)
            self.ours.close()

    def make(self, needed: set[int], preserve: int) -> None:
        """In the process between: drop what is the host's (of the descriptors, all but those that are needed and the
        first ones), make the child, say who it is, and end. Returns in the child alone, whose parent is that of the
        process between."""
        _close_all_but({self.theirs.fileno(), *needed}, 3 + preserve)
        pid, _ = clone3(CLONE_PARENT)
        if pid == 0:
            self.theirs.close()
            return
        self.theirs.send(str(pid).encode())
        os._exit(0)


class Late:
    """How a container comes into a watched pid namespace that exists: only once its root is entered.

    Until then its process has the host's files and all the host's rights; it stays in the runtime's pid namespace.
    `space`: the pid namespace; `proc_option`: what has a procfs of the container's show that one.
    """

    __slots__ = ("born", "preserve", "proc_option", "space")

    def __init__(self, space: int, preserve: int) -> None:
        self.space, self.preserve = space, preserve
        self.born = Birth()
        self.proc_option = f"pidns=/proc/self/fd/{space}"

    def without_pid(self, opened: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """The namespaces that are joined at once; of the opened ones the pid namespace is let go."""
        for kind, _, fd in opened:
            if kind == "pid":
                os.close(fd)
        return [entry for entry in opened if entry[0] != "pid"]

    def enter(self, needed: set[int]) -> None:
        """In the container's process, in its root: go on as another one, which is inside, with these descriptors."""
        try:
            setns(self.space, CLONE_NEWPID)
        except OSError as error:
            raise StepError('enter the namespace "pid"', "", error.errno or 0) from None
        self.born.make(needed, self.preserve)
        set_parent_death_signal(9)
        os.setsid()

    def follow(self, between: birth.Born, channel: "Channel") -> birth.Born:
        """On the host's side: the process that goes on for the one that made the mounts, which has ended.

        Raises RailcarError.
        """
        pid = self.born.pid(between.pid)
        if not pid:
            channel.hear()
            raise RailcarError("the container's first process died before it was in its pid namespace")
        os.close(between.pidfd)
        return birth.Born(pid, pidfd_open(pid), between.mapped)


def _close_all_but(kept: set[int], first: int) -> None:
    for fd in sorted(kept):
        if fd >= first:
            if fd > first:
                close_range(first, fd - 1)
            first = fd + 1
    close_range(first)
