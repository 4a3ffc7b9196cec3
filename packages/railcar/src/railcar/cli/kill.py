"""`railcar kill`."""

from railcar import signalling
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Send a signal, SIGTERM by default."""
    word = arguments.positional[1] if len(arguments.positional) > 1 else "TERM"
    signalling.kill(options.root, arguments.positional[0], signalling.number(word), arguments.flag("all"))
    return 0
