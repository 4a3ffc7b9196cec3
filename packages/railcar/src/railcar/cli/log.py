"""Where messages go: `--log` in runc's two formats, and standard error.

Engines read the last error of the log, and conmon wants the JSON log to be that one object: so warnings wait until
the command has succeeded, and are dropped when it fails.
"""

import os
import sys
import time
from _json import encode_basestring_ascii

from railcar.cli.parse import Globals
from railcar.errors import errno_text

_pending: list[str] = []


def warn(message: str) -> None:
    """Note something that does not stop the command."""
    _pending.append(message)


def pending() -> list[str]:
    """The warnings so far."""
    return list(_pending)


def flush(options: "Globals | None") -> None:
    """Write the warnings of a command that succeeded: to the log if there is one, else to standard error."""
    _steps(options)
    for message in _pending:
        if options is not None and options.log:
            _write_log(options, "warning", message)
        else:
            _print(f"railcar: warning: {message}")
    _pending.clear()


def error(options: "Globals | None", message: str) -> None:
    """Write why a command failed: to the log and to standard error."""
    _pending.clear()
    _steps(options)
    if options is not None and options.log:
        _write_log(options, "error", message)
    _print(message)


def _steps(options: "Globals | None") -> None:
    """With --debug: what was done, and how long each step took."""
    if options is None or not options.debug:
        return
    from railcar import tracing

    for step in tracing.steps:
        text = f"{step['step']}: {step['took_us']} us"
        if options.log:
            _write_log(options, "debug", text)
        else:
            _print(_line(options, "debug", text).rstrip())
    tracing.steps.clear()


def _print(message: str) -> None:
    if not message.isprintable():
        from ocicommon.printable import printable

        message = printable(message)
    try:
        os.write(2, (message + "\n").encode("utf-8", "surrogateescape"))
    except OSError:
        return


def _line(options: Globals, level: str, message: str) -> str:
    """One line in the format that was asked for."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if options.log_format == "json":
        pairs = (("level", level), ("msg", text), ("time", stamp))
        fields = (f"{encode_basestring_ascii(key)}:{encode_basestring_ascii(value)}" for key, value in pairs)
        return "{" + ",".join(fields) + "}\n"
    return f"time={encode_basestring_ascii(stamp)} level={level} msg={encode_basestring_ascii(text)}\n"


def _write_log(options: Globals, level: str, message: str) -> None:
    line = _line(options, level, message)
    try:
        fd = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
    except OSError as failure:
        _print(f"railcar: cannot write the log {options.log}: {errno_text(failure.errno or 0)}")
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
