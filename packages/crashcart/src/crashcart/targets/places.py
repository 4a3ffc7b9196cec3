"""Where engines keep what they know, and how to look there without minding what is not there."""

from __future__ import annotations

import os


def children(directory: str) -> list[str]:
    """The paths in a directory, sorted; none when it is not there or not ours to see."""
    try:
        return sorted(os.path.join(directory, name) for name in os.listdir(directory))
    except OSError:
        return []


def runtime_directories(environ: dict[str, str]) -> list[str]:
    """The runtime directories of this user; of every logged-in user for root."""
    own = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return list(dict.fromkeys([own, *(children("/run/user") if os.geteuid() == 0 else [])]))


def expand(patterns: tuple[str, ...], environ: dict[str, str]) -> list[str]:
    """Directories of a table: ``$RUNTIME`` stands for each runtime directory, a last ``/*`` for each child."""
    found: list[str] = []
    for pattern in patterns:
        bases = runtime_directories(environ) if pattern.startswith("$RUNTIME") else [""]
        for base in bases:
            path = base + pattern.removeprefix("$RUNTIME")
            found += children(path[:-2]) if path.endswith("/*") else [path]
    return list(dict.fromkeys(path for path in found if os.path.isdir(path)))
