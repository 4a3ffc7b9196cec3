"""What crashcart says besides the output of the session: always on standard error."""

from __future__ import annotations

import os

verbose = False


def say(message: str) -> None:
    """One line for the user."""
    # os.write, because sys.stderr may be buffered or closed, and must not raise where nobody listens any more.
    try:
        os.write(2, f"crashcart: {message}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return


def note(message: str) -> None:
    """One line with ``-v`` only: which way was taken, and why."""
    if verbose:
        say(message)
