"""argv in, exit code out: the one place that turns an error into a message and a code."""

import errno
import os
import sys

from railcar import tracing
from railcar.cli import log
from railcar.cli.environment import variable
from railcar.cli.parse import Globals, find_command, parse_command, parse_globals
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def default_root() -> str:
    """/run/railcar for root on the host, else $XDG_RUNTIME_DIR/railcar (as root of podman's user namespace, too)."""
    directory = variable("XDG_RUNTIME_DIR")
    if directory and (os.geteuid() != 0 or in_user_namespace()):
        return os.path.join(directory, "railcar")
    return "/run/railcar"


def in_user_namespace() -> bool:
    """True unless ids mean the same here as on the host: the first namespace maps all of them onto themselves."""
    try:
        with open("/proc/self/uid_map", "rb", buffering=0) as file:
            return file.read(200).split() != [b"0", b"0", b"4294967295"]
    except OSError:
        return False


def version_text() -> str:
    """What `--version` prints; dockerd splits the first line at "version" and looks for "commit: "."""
    from railcar import __version__
    from railcar.versions import SPEC_VERSION

    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"railcar version {__version__}\ncommit: v{__version__}\nspec: {SPEC_VERSION}\npython: {python}\n"


def _load(name: str) -> "Any":
    """A module of railcar.cli.

    The launcher leaves out the interpreter's site directories but the one that railcar lies in: for a module that needs
    other packages, which may lie in another one, they are looked up first.
    """
    if name in ("help", "validate") and sys.flags.no_site:
        import site

        site.main()
    return __import__(f"railcar.cli.{name}", fromlist=["run"])


def run(argv: list[str]) -> int:
    """Run one command line (without the program's name); returns the exit code."""
    options: Globals | None = None
    failure = 1
    try:
        options, rest = parse_globals(argv, "")
        if not options.root:
            options.root = default_root()
        trace = options.trace or variable("RAILCAR_TRACE")
        if trace:
            tracing.begin(trace)
        if options.values.get("version"):
            sys.stdout.write(version_text())
            return 0
        if options.values.get("help") or not rest or rest[0] == "help":
            sys.stdout.write(_load("help").page(rest[1] if len(rest) > 1 and rest[0] == "help" else ""))
            return 0
        command = find_command(rest[0], "-h" in rest or "--help" in rest)
        failure = command.failure
        arguments = parse_command(command, rest[1:])
        if arguments.values.get("help"):
            sys.stdout.write(_load("help").page(command.name))
            return 0
        code: int = _load(command.module).run(options, arguments)
        log.flush(options)
        return code
    except RailcarError as error:
        log.error(options, error.message)
        return failure if error.code == 1 else error.code
    except BrokenPipeError:
        return 1
    except OSError as error:
        log.error(options, _describe(error))
        return failure
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a defect of railcar: engines get a sentence, people a way to report it
        if variable("RAILCAR_DEBUG"):
            raise
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
        log.error(options, f"railcar failed in a way it should not ({place}): {type(error).__name__}: {error}")
        return failure


def _describe(error: OSError) -> str:
    """The error as a sentence whose end is the errno's words, as engines look for."""
    from railcar.errors import errno_text

    if hasattr(error, "call") or error.errno is None:
        return str(error)
    name = os.fsdecode(error.filename) if error.filename else ""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "the filesystem is full: make room, or have the state elsewhere by --root: "
    elif error.errno == errno.ENOENT and name.startswith("/proc/") and not os.path.exists("/proc/self"):
        hint = "/proc is not mounted: "
    return (f"{name}: " if name else "") + hint + errno_text(error.errno)


def main(archived: bool = True) -> None:
    """Entry of the installed command. Leaves by os._exit: an interpreter's orderly end costs a millisecond.

    `archived` is false where the compiled modules are not in one file yet.
    """
    code = run(sys.argv[1:])
    log.flush_output()
    if "railcar_snapshot" not in sys._xoptions and "setup" not in sys.argv[1:]:
        try:
            _prepare(archived)
        except (OSError, SyntaxError, ValueError):
            os._exit(code)
    os._exit(code)


def _prepare(archived: bool) -> None:
    """Have the next start quicker: the first start makes the archive, the second the snapshot."""
    if not archived:
        from railcar import bytecode

        bytecode.make()
    elif os.geteuid() == 0 and variable("RAILCAR_SNAPSHOT") != "0":
        from railcar import snapshot

        if snapshot.due():
            from railcar.snapshot import making

            making.make()
