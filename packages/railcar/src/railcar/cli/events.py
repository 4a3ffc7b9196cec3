"""`railcar events`: a container's figures, and its out-of-memory kills, as lines of JSON."""

import os
import select
import sys
import time

from railcar import documents, state
from railcar.cgroups.stats import stats
from railcar.cli.parse import Arguments, Globals, whole_number
from railcar.cli.pause import group_of
from railcar.errors import RailcarError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

UNITS = (("ms", 0.001), ("us", 0.000001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))


def duration(text: str) -> float:
    """Seconds of a duration like ``5s``, ``500ms`` or ``1m``. Raises UsageError unless it is longer than none."""
    for suffix, factor in UNITS:
        if text.endswith(suffix):
            seconds = whole_number(text.removesuffix(suffix), "--interval") * factor
            if seconds > 0:
                return seconds
            break
    raise UsageError(f'events: --interval is "{text}": it is a time like 5s, 500ms or 1m')


class OomWatch:
    """Tells of out-of-memory kills: an eventfd of v1's memory.oom_control, or a change of v2's memory.events."""

    def __init__(self, paths: dict[str, str], mode: str) -> None:
        self.fd = -1
        self.event = select.POLLIN
        self.count = 0
        self.control = -1
        try:
            if mode == "v2":
                self.fd = os.open(paths["unified"] + "/memory.events", os.O_RDONLY | os.O_CLOEXEC)
                self.event = select.POLLPRI
                self.count = self._kills()
            elif "memory" in paths:
                self.control = os.open(paths["memory"] + "/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
                self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                registrar = os.open(paths["memory"] + "/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(registrar, f"{self.fd} {self.control}".encode())
                finally:
                    os.close(registrar)
        except OSError:
            self.close()

    def _kills(self) -> int:
        for line in os.pread(self.fd, 4096, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def news(self) -> bool:
        """Whether a kill has happened since the last call."""
        if self.event == select.POLLPRI:
            before, self.count = self.count, self._kills()
            return self.count > before
        try:
            return os.eventfd_read(self.fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        for descriptor in (self.fd, self.control):
            if descriptor >= 0:
                os.close(descriptor)
        self.fd = self.control = -1


def events(record: state.Record, interval: float) -> "Iterator[dict[str, Any]]":
    """``{type: stats|oom, id, data}`` every ``interval`` seconds, until the container's first process has gone."""
    group = group_of(record)
    pidfd = record.pidfd()
    if pidfd < 0:
        raise RailcarError(f'cannot watch "{record.container_id}": container not running')
    watch = OomWatch(group.paths, group.mode)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if watch.fd >= 0:
        poll.register(watch.fd, watch.event)
    try:
        due = time.monotonic() + interval
        while True:
            ready = dict(poll.poll(max(0.0, due - time.monotonic()) * 1000))
            # The group's removal wakes the watch too, and is no kill.
            if watch.fd in ready and group.exists() and watch.news():
                yield {"type": "oom", "id": record.container_id}
            if pidfd in ready:
                return
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                yield {"type": "stats", "id": record.container_id, "data": stats(group)}
    except OSError:
        if group.exists():
            raise
    finally:
        watch.close()
        os.close(pidfd)


def run(options: Globals, arguments: Arguments) -> int:
    """Print one line with --stats, else a line per interval and per kill."""
    interval = duration(arguments.text("interval") or "5s")
    record = state.find(options.root, arguments.positional[0])
    if record.status() == "stopped":
        raise RailcarError(f'cannot show the figures of "{record.container_id}": container not running')
    if arguments.flag("stats"):
        line = {"type": "stats", "id": record.container_id, "data": stats(group_of(record))}
        sys.stdout.write(documents.compact(line) + "\n")
        return 0
    for event in events(record, interval):
        sys.stdout.write(documents.compact(event) + "\n")
        sys.stdout.flush()
    return 0
