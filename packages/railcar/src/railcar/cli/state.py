"""`railcar state`."""

import sys

from railcar import documents, state
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Print the state as JSON; like runc's, without a newline at the end."""
    record = state.find(options.root, arguments.positional[0])
    sys.stdout.write(documents.indented(record.public(record.status())))
    return 0
