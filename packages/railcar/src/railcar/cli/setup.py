"""`railcar setup`."""

import sys

from railcar import snapshot
from railcar.cli.parse import Arguments, Globals
from railcar.errors import RailcarError, UsageError


def run(options: Globals, arguments: Arguments) -> int:
    """Make what makes starts quick, the archive of modules and the snapshot, or take the latter away."""
    if arguments.flag("template"):
        from railcar.snapshot import template

        template.wait()
    if arguments.flag("no-snapshot") and arguments.flag("remove"):
        raise UsageError("setup: --no-snapshot removes the snapshot too: leave out --remove")
    from railcar.snapshot import making

    if arguments.flag("remove"):
        making.remove()
        return 0
    if arguments.flag("no-snapshot"):
        making.decline()
        return 0
    from railcar import bytecode

    bytecode.make()
    refused = snapshot.obstacle()
    if not refused:
        making.accept()
        refused = making.make()
    if refused:
        raise RailcarError(f"starts stay as they are, without a snapshot: {refused}")
    sys.stdout.write(f"Starts come from the snapshot in {snapshot.DIRECTORY}.\n")
    return 0
