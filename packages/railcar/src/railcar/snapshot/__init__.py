"""Starting without the interpreter's start: a picture of a warm interpreter's memory, mapped by a small program.

`making` starts an interpreter that has imported what the hot commands need (`template`), stops it in a read, and writes
its memory to a file and beside it a small static program (`restorer`) that maps the memory at the same addresses and
returns from that read. `layout` decides what is mapped from where, `record` what the whole is bound to. Whatever does
not fit makes the program execute its arguments instead: the interpreter, as if there were no snapshot.
"""

import os
import sys

#: The interpreter's options, as the launcher gives them.
OPTIONS = ("-I", "-S", "-X", "utf8", "-X", "no_debug_ranges")
#: Set among the interpreter's -X options in a process that came out of a snapshot.
MARK = "railcar_snapshot"
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTORY = os.path.join(HOME, "railcar", "__pycache__", "snapshot")
PROGRAM = "railcar"


def restored() -> bool:
    """Whether this process came out of a snapshot."""
    return MARK in sys._xoptions


def obstacle() -> str:
    """Why no snapshot can be made here by this process; empty when one may be tried."""
    if os.uname().machine != "x86_64":
        return f"there is no snapshot for {os.uname().machine}"
    if sys.implementation.name != "cpython":
        return f"there is no snapshot for {sys.implementation.name}"
    if os.geteuid() != 0:
        return "only root makes a snapshot, and uses it"
    if tuple(sys.orig_argv[1:7]) != OPTIONS:
        return "railcar was not started by its launcher"
    home = os.stat(HOME)
    if home.st_uid != 0 or home.st_mode & 0o022:
        return f"{HOME} is not root's alone to write"
    if not os.access(HOME, os.W_OK):
        return f"{HOME} cannot be written"
    return ""


def due() -> bool:
    """Whether this start should make a snapshot: none of this boot and these files was made, or refused lately."""
    if obstacle():
        return False
    from railcar.snapshot import record

    return not record.declined() and not record.stands()


def status() -> str:
    """Why starts do not come from a snapshot; empty when they do."""
    from railcar.snapshot import record

    if record.declined():
        return "declined by railcar setup --no-snapshot"
    said = record.read()
    if said == record.MADE:
        return ""
    return said or obstacle() or "none was made yet"
