"""The command line: one file per command, each a thin skin over a library function.

`smith` alone, or followed by an option, is `smith build`, as the original's was.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer
from ocicommon.printable import printable

from smith.cli import (
    build,
    diff,
    download,
    inspect,
    lock,
    ls,
    outdated,
    sbom,
    schema,
    sign,
    trace,
    unpack,
    upload,
    verify,
    why,
)
from smith.errors import SmithError

COMMANDS: dict[str, Callable[..., None]] = {
    "build": build.command,
    "unpack": unpack.command,
    "inspect": inspect.command,
    "ls": ls.command,
    "why": why.command,
    "diff": diff.command,
    "verify": verify.command,
    "sbom": sbom.command,
    "trace": trace.command,
    "schema": schema.command,
    "lock": lock.command,
    "outdated": outdated.command,
    "upload": upload.command,
    "download": download.command,
    "sign": sign.command,
}
GLOBAL = ("--help", "-h", "--install-completion", "--show-completion")


def application() -> typer.Typer:
    """The typer application with all commands."""
    app = typer.Typer(
        name="smith",
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Build microcontainers: OCI images that hold one program and what it needs.",
    )
    for name, function in COMMANDS.items():
        app.command(name)(function)
    return app


def arguments(argv: list[str]) -> list[str]:
    """The command line with `build` put in where the original's form is used."""
    if not argv or (argv[0].startswith("-") and argv[0] not in GLOBAL):
        return ["build", *argv]
    return argv


def main() -> None:
    """The `smith` command. Exit codes are those of smith.errors; 130 and 143 for interruption and termination."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    try:
        application()(arguments(sys.argv[1:]), standalone_mode=True)
    except SmithError as error:
        print(f"smith: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except MemoryError:
        print("smith: out of memory", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        word = "interrupted" if stopped.number == signal.SIGINT else "terminated"
        print(f"smith: {word}; what was there before is as it was", file=sys.stderr)
        sys.exit(128 + stopped.number)
    except OSError as error:
        subject = f"{error.filename}: " if error.filename else ""
        print(f"smith: {subject}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


class Stopped(BaseException):
    """A signal asks for the end. No KeyboardInterrupt, of which typer makes an end without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> None:
    # A second one ends it at once, whatever is left behind.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)
