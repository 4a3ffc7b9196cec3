"""Bytes between the user's streams and the session's, without ever waiting for one of them while another has work.

The host's own descriptors never go into the container: a process there could open them anew through /proc.
"""

from __future__ import annotations

import errno
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# No larger than PIPE_BUF: a pipe that polls as writable takes it whole, so the user's streams never block us.
_CHUNK = 4096
_ROOM = 65536
# What is still read after the command's end: a process of the container can write to its terminal for ever.
_REST = 4 << 20


class Flow:
    """One direction: what was read from ``source`` and not yet written to ``sink``. -1 for a closed end."""

    __slots__ = ("closes_sink", "closes_source", "pending", "sink", "source")

    def __init__(self, source: int, sink: int, *, closes_source: bool = False, closes_sink: bool = False) -> None:
        self.source = source
        self.sink = sink
        self.closes_source = closes_source
        self.closes_sink = closes_sink
        self.pending = b""

    def read(self) -> bool:
        """Read what is there; whether anything was."""
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EBADF):  # EIO is how a terminal says that nobody has its other end
                raise
            data = b""
        if not data:
            self.source = -1
            self._maybe_close()
            return False
        self.pending += data
        return True

    def write(self) -> None:
        """Write some of what is pending."""
        try:
            written = os.write(self.sink, self.pending[:_CHUNK])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
                raise
            self.give_up()
            return
        self.pending = self.pending[written:]
        self._maybe_close()

    def give_up(self) -> None:
        """Nobody takes it any more: let the writer know by closing its pipe, where it is one."""
        self.pending = b""
        if self.closes_source and self.source >= 0:
            os.close(self.source)
        if self.closes_sink and self.sink >= 0:
            os.close(self.sink)
        self.source = self.sink = -1

    def _maybe_close(self) -> None:
        if self.source < 0 and self.sink >= 0 and self.closes_sink and not self.pending:
            os.close(self.sink)
            self.sink = -1

    @property
    def wants_read(self) -> bool:
        return self.source >= 0 and self.sink >= 0 and len(self.pending) < _ROOM

    @property
    def wants_write(self) -> bool:
        return self.sink >= 0 and bool(self.pending)


class Relay:
    """Flows, and other descriptors with what to do when they become readable."""

    def __init__(self, flows: list[Flow]) -> None:
        self.flows = flows
        self.watched: dict[int, Callable[[], None]] = {}

    def once(self, timeout: float | None = None) -> bool:
        """Wait for something to do (seconds, None for ever) and do it; whether there was anything."""
        events: dict[int, int] = dict.fromkeys(self.watched, select.POLLIN)
        for flow in self.flows:
            if flow.wants_read:
                events[flow.source] = events.get(flow.source, 0) | select.POLLIN
            if flow.wants_write:
                events[flow.sink] = events.get(flow.sink, 0) | select.POLLOUT
        poll = select.poll()
        for fd, mask in events.items():
            poll.register(fd, mask)
        ready = dict(poll.poll(None if timeout is None else timeout * 1000))
        done = False
        for flow in self.flows:
            if flow.wants_write and ready.get(flow.sink, 0) & (select.POLLOUT | select.POLLERR | select.POLLHUP):
                flow.write()
                done = True
            if flow.wants_read and ready.get(flow.source, 0) & (select.POLLIN | select.POLLERR | select.POLLHUP):
                flow.read()
                done = True
        for fd in ready:
            if fd in self.watched:
                self.watched[fd]()
                done = True
        return done

    def drain(self, outward: list[Flow]) -> None:
        """Bring out what the session had written when it ended, and not what others go on writing."""
        rest = _REST
        for flow in outward:
            if flow.source >= 0:
                os.set_blocking(flow.source, False)
        while rest > 0:
            read = False
            for flow in outward:
                if flow.wants_read and flow.read():
                    read = True
                    rest -= _CHUNK
            while any(flow.wants_write for flow in outward):
                poll = select.poll()
                for flow in outward:
                    if flow.wants_write:
                        poll.register(flow.sink, select.POLLOUT)
                poll.poll()
                for flow in outward:
                    if flow.wants_write:
                        flow.write()
            if not read:
                return
