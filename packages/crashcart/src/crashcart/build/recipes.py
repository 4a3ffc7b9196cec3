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
MANUALS = "share/man"
_MANUAL_LANGUAGES = "share/man/man"


def is_excluded(path: str, manuals: bool) -> bool:
    """Whether a path of the image stays out."""
    if path.rpartition("/")[2].split("-gnu-")[-1] in EXCLUDED_NAMES:
        return True
    if path.startswith(MANUALS):
        return not manuals or not path.startswith(_MANUAL_LANGUAGES)
    return path.startswith(EXCLUDED)
