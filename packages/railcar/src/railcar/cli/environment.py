"""One variable of the environment, without `os.environ`, whose base classes cost more than most commands' work."""

import os
import posix


def variable(name: str) -> str:
    """The variable's value; empty where it is not set. What a program around us changed in `os.environ` counts."""
    changed = os.__dict__.get("environ")
    if changed is not None:
        return str(changed.get(name, ""))
    return os.fsdecode(posix.environ.get(os.fsencode(name), b""))
