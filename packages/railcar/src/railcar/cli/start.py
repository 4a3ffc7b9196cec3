"""`railcar start`."""

from railcar import starting
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Start the program of a created container."""
    starting.start(options.root, arguments.positional[0])
    return 0
