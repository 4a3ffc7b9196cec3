"""`railcar restore`."""

from ocicommon.linux.process import pidfd_open

from railcar import removing, restoring
from railcar.cli import log
from railcar.cli.checkpoint import program, request_of
from railcar.cli.creation import options_of
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """The program's exit code, as of `run`; 0 at once with --detach."""
    wanted = options_of(options, arguments)
    restored = restoring.restore(
        options.root,
        arguments.positional[0],
        arguments.text("bundle") or ".",
        wanted,
        request_of(arguments),
        relay=not arguments.flag("detach"),
        criu_program=program(options),
    )
    for warning in restored.warnings:
        log.warn(warning)
    if arguments.flag("detach"):
        return 0
    from railcar.foreground import Foreground

    foreground = Foreground()
    if restored.master >= 0:
        foreground.attach(restored.master)
    try:
        code = foreground.run(restored.pid, pidfd_open(restored.pid))
    finally:
        foreground.close()
    for warning in removing.discard(restored.record):
        log.warn(warning)
    return code
