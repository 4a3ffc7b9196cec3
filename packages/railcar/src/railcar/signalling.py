"""`kill`: a signal to the very process that was recorded, or to every process of the container's cgroup."""

import _signal  # type: ignore[import-not-found]
import errno
import os

from railcar import pidfds, state
from railcar.errors import RailcarError

_SPECIAL = {"SIGRTMIN": 34, "SIGRTMAX": 64, "SIGIOT": 6, "SIGCLD": 17, "SIGPOLL": 29, "SIGSTKFLT": 16}


def number(text: str) -> int:
    """A signal by number (0 to 64), name, or name without SIG; SIGRTMIN+N and SIGRTMAX-N too. Raises RailcarError."""
    word = text.strip().upper()
    if word.isascii() and word.removeprefix("-").isdigit():
        found = int(word.removeprefix("-"))
        if found <= 64:
            return found
        raise RailcarError(f"there is no signal {text}: the numbers are 0 to 64")
    name = word if word.startswith("SIG") else "SIG" + word
    base, sign, offset = name.partition("+")
    if not sign:
        base, sign, offset = name.partition("-")
    value = _SPECIAL.get(base) or getattr(_signal, base, None)
    if isinstance(value, int) and base.isalnum() and base not in ("SIG_DFL", "SIG_IGN"):
        if not sign:
            return int(value)
        if base in ("SIGRTMIN", "SIGRTMAX") and offset.isascii() and offset.isdigit():
            shifted = value + int(offset) * (1 if sign == "+" else -1)
            if 34 <= shifted <= 64:
                return shifted
    raise RailcarError(f'there is no signal "{text}": give a number, or a name like TERM or SIGKILL')


def kill(root: str, container_id: str, signal: int, everything: bool = False) -> None:
    """Send. Takes no lock: it gets through while a `create` hangs. Raises RailcarError when nothing runs."""
    record = state.find(root, container_id)
    group = record.group() if everything or "pid" not in (record.data.get("namespaces") or ("pid",)) else None
    pidfd = record.pidfd()
    if pidfd < 0:
        if group is not None and (everything or signal == 9):
            # Without a pid namespace of its own, a container outlives its first process.
            left = bool(group.pids())
            if left:
                group.kill(signal)
            if left or everything:
                return
        raise RailcarError(f"cannot kill {container_id}: container not running")
    try:
        if group is not None and (everything or signal == 9):
            group.kill(signal)
        else:
            pidfds.send(pidfd, signal)
            if signal == 9 and (own := record.group()) is not None:
                own.let_die()
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
        raise RailcarError(f"cannot kill {container_id}: os: process already finished: container not running") from None
    finally:
        os.close(pidfd)
