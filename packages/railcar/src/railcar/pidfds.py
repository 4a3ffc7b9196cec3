"""Pidfds by the interpreter's own functions, without the machinery for raw system calls that small commands can spare.

Interpreters built on headers older than Linux 5.3 lack them: then ocicommon's are taken.
"""

import _signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

if hasattr(os, "pidfd_open") and hasattr(_signal, "pidfd_send_signal"):
    open_pid: "Callable[[int], int]" = os.pidfd_open
    send: "Callable[[int, int], None]" = _signal.pidfd_send_signal
else:
    from ocicommon.linux import process

    open_pid, send = process.pidfd_open, process.pidfd_send_signal
