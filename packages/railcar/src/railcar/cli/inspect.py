"""`railcar inspect`: all that is known about a container."""

import sys

from ocicommon.printable import printable

from railcar import documents, inspection, state
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Print it for people, or as JSON with --json."""
    found = inspection.inspect(state.find(options.root, arguments.positional[0]))
    if arguments.flag("json"):
        sys.stdout.write(documents.indented(found) + "\n")
    else:
        sys.stdout.write(printable("\n".join(inspection.lines(found))) + "\n")
    return 0
