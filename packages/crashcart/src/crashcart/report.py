"""What crashcart says besides the output of the session: always on standard error."""

from __future__ import annotations

import os

from ocicommon.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

verbose = False
#: Where remarks go instead, in a process that has no standard error of the user's.
through: Callable[[str], None] | None = None


def say(message: str) -> None:
    """One line for the user."""
    message = printable(message)
    # os.write, because sys.stderr may be buffered or closed, and must not raise where nobody listens any more.
    try:
        os.write(2, f"crashcart: {message}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return


def note(message: str) -> None:
    """One line with ``-v`` only: which way was taken, and why."""
    if not verbose:
        return
    if through is not None:
        through(message)
    else:
        say(message)
