"""`railcar create`."""

from railcar import creating
from railcar.cli import log
from railcar.cli.creation import options_of
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Create a container and leave it waiting for `start`."""
    wanted = options_of(options, arguments)
    bundle = arguments.text("bundle") or "."
    created = creating.create(options.root, arguments.positional[0], bundle, wanted)
    for warning in created.warnings:
        log.warn(warning)
    return 0
