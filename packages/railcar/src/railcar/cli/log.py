"""Where messages go: `--log` in runc's two formats, and standard error.

Engines read the last error of the log, and conmon wants the JSON log to be that one object: so warnings wait until
the command has succeeded, and are dropped when it fails.
"""

import os
import sys
import time
from _json import encode_basestring_ascii

from railcar.cli.parse import Globals

_pending: list[str] = []


def warn(message: str) -> None:
    """Note something that does not stop the command."""
    _pending.append(message)


def pending() -> list[str]:
    """The warnings so far."""
    return list(_pending)


def flush(options: "Globals | None") -> None:
    """Write the warnings of a command that succeeded: to the log if there is one, else to standard error."""
    for message in _pending:
        if options is not None and options.log:
            _write_log(options, "warning", message)
        else:
            _print(f"railcar: warning: {message}")
    _pending.clear()


def error(options: "Globals | None", message: str) -> None:
    """Write why a command failed: to the log and to standard error."""
    _pending.clear()
    if options is not None and options.log:
        _write_log(options, "error", message)
    _print(message)


def debug(options: Globals, message: str) -> None:
    """Write a step, with --debug only."""
    if not options.debug:
        return
    if options.log:
        _write_log(options, "debug", message)
    else:
        _print(f"railcar: {message}")


def _print(message: str) -> None:
    try:
        os.write(2, (message + "\n").encode("utf-8", "surrogateescape"))
    except OSError:
        return


def _write_log(options: Globals, level: str, message: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if options.log_format == "json":
        pairs = (("level", level), ("msg", text), ("time", stamp))
        line = "{" + ",".join(
            f"{encode_basestring_ascii(key)}:{encode_basestring_ascii(value)}" for key, value in pairs
        )
        line += "}\n"
    else:
        line = f"time={encode_basestring_ascii(stamp)} level={level} msg={encode_basestring_ascii(text)}\n"
    try:
        fd = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
    except OSError as failure:
        _print(f"railcar: cannot write the log {options.log}: {failure.strerror}")
        return
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def flush_output() -> None:
    """Push out what was printed; a reader that has gone is no error."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return
