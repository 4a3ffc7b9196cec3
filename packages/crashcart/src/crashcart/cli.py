"""The command: reads its line, does what it says, and is the only place that turns an error into an exit code."""

from __future__ import annotations

import gc
import os
import sys

from crashcart import __version__, arguments, report
from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashcart.arguments import Arguments


def main() -> None:
    """Entry point of the installed command."""
    gc.disable()  # a session is over before there is anything to collect
    _open_standard_streams()
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 141
    os._exit(code)  # taking the interpreter apart would take longer than entering some containers


def _open_standard_streams() -> None:
    """A stream that was closed would be taken by the next file opened, and written to in its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def run(argv: list[str]) -> int:
    """Do what a command line says; the exit code."""
    try:
        if argv and argv[0] in arguments.SUBCOMMANDS:
            gc.enable()
            from crashcart import usage

            return usage.run(argv)
        read = arguments.parse(argv)
        report.verbose = read.verbose
        if read.help:
            from crashcart import usage

            return usage.run(["--help"])
        if read.version:
            os.write(1, f"crashcart {__version__}\n".encode())
            return 0
        return _act(read)
    except CrashcartError as error:
        report.say(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        from ocicommon.linux.errors import explain

        report.say(explain(error))
        return 1


def _act(read: Arguments) -> int:
    from crashcart import targets

    target = targets.find(read.target, read.root)
    report.note(f"entering {target.container.describe()}")
    if read.unmount:
        from crashcart import shared

        shared.unmount(target, force=read.force)
        return 0
    if read.mount:
        from crashcart import shared

        shared.mount(target, read.image, read.dir)
        return 0
    if read.exec:
        from crashcart import engine

        return engine.execute(target, read)
    from crashcart import enter

    return enter.session(target, read)
