"""`railcar delete`."""

from railcar import removing
from railcar.cli import log
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Remove what a container holds."""
    for warning in removing.delete(options.root, arguments.positional[0], arguments.flag("force")):
        log.warn(warning)
    return 0
