"""What goes into an image by default, and what of a package never does. Data only."""

from __future__ import annotations

# Package: the tree paths to take of it; empty for all of its programs and their data.
Recipe = dict[str, tuple[str, ...]]

_NAMES = """
bash binutils bzip2 coreutils curl gdb-minimal tar gzip lsof ltrace man-db netcat-openbsd openssl pigz strace tcpdump
wget iproute2 procps less vim-tiny busybox-static
"""
DEFAULT: Recipe = dict.fromkeys(_NAMES.split(), ())
TINY: Recipe = {
    "busybox": ("bin/busybox",),  # the C library is there for the others: the static one would bring its own
    "strace": ("bin/strace",),
    "iproute2": ("bin/ss",),
    "curl": ("bin/curl",),
}
# Where small matters most, squashfs; else erofs, from which programs start faster, and which needs no loop device.
FORMATS = {"tiny": "squashfs"}
PRESETS: dict[str, Recipe] = {"default": DEFAULT, "tiny": TINY}

# Names people use, and the package that serves best here: gdb with Python would read its modules from the container.
ALIASES = {"gdb": "gdb-minimal", "netcat": "netcat-openbsd", "busybox": "busybox-static", "vim": "vim-tiny"}
# What took the place of a package that brings no program any more: Debian 13 has one gdb, and that with Python.
SUCCESSORS = {"gdb-minimal": "gdb"}

# Packages whose data programs need, whichever brings them in. The path prefixes, as they are in the image.
DATA = {
    "ncurses-base": ("share/terminfo", "lib/terminfo"),
    "groff-base": ("bin/", "share/groff"),
    "bsdextrautils": ("bin/col", "bin/column"),
    "ca-certificates": (),
    "libc-bin": ("lib/locale/C.utf8", "bin/iconv"),
}
# What drags data with it.
NEEDS = {
    "man-db": ("groff-base", "bsdextrautils", "libc-bin"),
    "bash": ("ncurses-base", "libc-bin"),
    "less": ("ncurses-base",),
    "procps": ("ncurses-base",),
    "vim-tiny": ("ncurses-base",),
    "gdb-minimal": ("ncurses-base",),
    "curl": ("ca-certificates",),
    "wget": ("ca-certificates",),
    "openssl": ("ca-certificates",),
}

# Never needed to debug with, and most of the size.
EXCLUDED = (
    "share/doc", "share/info", "share/locale", "share/lintian", "share/bug", "share/menu", "share/applications",
    "share/pixmaps", "share/icons", "share/bash-completion", "share/zsh", "share/fish", "share/apport",
    "share/gdb/python",
    "share/doc-base", "share/initramfs-tools", "share/perl5", "share/systemtap", "lib/systemd", "lib/tmpfiles.d",
    "lib/sysusers.d", "lib/udev", "lib/x86_64-linux-gnu/perl", "lib/init", "lib/mime", "lib/ssl", "lib/gcc", "include",
)  # fmt: skip
# Programs that make or change software, which a session does not do.
EXCLUDED_NAMES = frozenset((
    "dwp", "gold", "gprof", "gp-archive", "gp-collect-app", "gp-display-html", "gp-display-src", "gp-display-text",
    "gprofng",
))  # fmt: skip
# Parts of Python's library that a debugger's Python does not need, and the libraries behind them.
EXCLUDED_PYTHON = frozenset((
    "__pycache__", "_pyrepl", "dbm", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "sitecustomize.py", "sqlite3",
    "test", "tkinter", "turtledemo", "unittest", "venv", "wsgiref", "xmlrpc",
))  # fmt: skip
EXCLUDED_MODULES = ("_bz2", "_crypt", "_ctypes_test", "_dbm", "_sqlite3", "_test", "_tkinter", "_xxtest", "nis", "xx")
MANUALS = "share/man"
_MANUAL_LANGUAGES = "share/man/man"


def is_excluded(path: str, manuals: bool) -> bool:
    """Whether a path of the image stays out."""
    if path.rpartition("/")[2].split("-gnu-")[-1] in EXCLUDED_NAMES:
        return True
    if path.startswith("lib/python3."):
        part, _, module = path.split("/", 2)[2].partition("/")
        return part in EXCLUDED_PYTHON or (part == "lib-dynload" and module.startswith(EXCLUDED_MODULES))
    if path.startswith(MANUALS):
        return not manuals or not path.startswith(_MANUAL_LANGUAGES)
    return path.startswith(EXCLUDED)
