"""An interpreter that can load nothing more: what must hold before it meets a container's files.

An import that was put off (a codec, a module inside a function) resolves its path after chroot, pivot_root or setns
in the container's root, and runs the container's code as the host's root.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Codecs are found by import at first use, also by open() and by str.encode() with a name that is not built in.
_CODECS = ("utf-8", "ascii", "latin-1")


def preload(modules: Iterable[str] = ()) -> None:
    """Import what will be needed after ``lock``: these modules, and the codecs that Python looks up by name."""
    for name in modules:
        __import__(name)
    for codec in _CODECS:
        "".encode(codec)
        b"".decode(codec)
    "".encode("utf-8", "surrogateescape")
    import encodings.ascii
    import encodings.latin_1
    import encodings.utf_8  # noqa: F401


def lock() -> None:
    """Make every further import fail with ModuleNotFoundError; what is loaded stays usable. Not to be undone."""
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()


def locked() -> bool:
    """Whether ``lock`` was called, and nobody put anything back."""
    return not (sys.path or sys.meta_path or sys.path_hooks)
