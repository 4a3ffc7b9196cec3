"""Which program a session starts: looked up in the tools, by names only. Pure but for the asking."""

from __future__ import annotations

from crashcart.environment import BINARIES
from crashcart.errors import NotFound
from crashcart.image import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SHELLS = ("bash", "sh", "ash", "busybox")
_RC = ".crashcartrc"


def resolve(command: list[bytes], has: Callable[[bytes], bool]) -> tuple[bytes, list[bytes]]:
    """(path, argv) of a command; ``has`` tells whether the tools have an entry of a relative name.

    A bare name is looked up in the image; a path is taken as it is. NotFound when the image has no such tool.
    """
    if not command:
        return _shell(has)
    name = command[0]
    if b"/" in name:
        return name, command
    path = _find(name, has)
    if path is None:
        shown = name.decode("utf-8", "replace")
        raise NotFound(
            f"the image has no '{shown}' in {', '.join(BINARIES)}; a program of the container needs its full path"
        )
    return path, command


def _find(name: bytes, has: Callable[[bytes], bool]) -> bytes | None:
    for directory in BINARIES:
        relative = directory.encode() + b"/" + name
        if has(relative):
            return ROOT.encode() + b"/" + relative
    return None


def _shell(has: Callable[[bytes], bool]) -> tuple[bytes, list[bytes]]:
    for shell in _SHELLS:
        path = _find(shell.encode(), has)
        if path is None:
            continue
        if shell == "bash":
            # --noprofile and an --rcfile of ours: the container's /etc/profile and ~/.bashrc are not read.
            rc = f"{ROOT}/{_RC}" if has(_RC.encode()) else "/dev/null"
            return path, [b"bash", b"--noprofile", b"--rcfile", rc.encode()]
        return path, [b"sh"] if shell != "busybox" else [b"busybox", b"sh"]
    raise NotFound(f"the image has no shell ({', '.join(_SHELLS)}): say which command to run")
