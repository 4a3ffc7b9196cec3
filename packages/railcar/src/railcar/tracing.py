"""A span per step, as JSON lines: `--trace FILE` or RAILCAR_TRACE. Off, a mark costs a look at the clock.

Each line: what was done, by which pid, when it ended (monotonic clock, ns) and how long it took since the mark before.
"""

import os
import time

_fd = -1
_last = time.monotonic_ns()
#: What has been marked so far, for the container's record: {"step", "took_us"}
steps: "list[dict[str, str | int]]" = []


def begin(path: str) -> None:
    """Append to this file from now on. A file that cannot be opened is no reason to fail."""
    global _fd, _last
    try:
        _fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    _last = time.monotonic_ns()


def restart() -> None:
    """Count from now: for a process that waited before its command came."""
    global _last
    _last = time.monotonic_ns()
    steps.clear()


def mark(step: str) -> None:
    """The end of a step."""
    global _last
    now = time.monotonic_ns()
    steps.append({"step": step, "took_us": (now - _last) // 1000})
    if _fd < 0:
        _last = now
        return
    line = f'{{"step":"{step}","pid":{os.getpid()},"end_ns":{now},"took_us":{(now - _last) // 1000}}}\n'
    _last = now
    try:
        os.write(_fd, line.encode())
    except OSError:
        return
