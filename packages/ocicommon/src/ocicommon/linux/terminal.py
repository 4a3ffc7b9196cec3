"""Pseudo-terminals by descriptor, never by a path in /dev. ioctl_tty(2), pts(4)."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import buffer, call

_TIOCSCTTY = 0x540E
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414
_TIOCGPTN = 0x80045430
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_peer(ptmx_fd: int, flags: int) -> int:
    """The other end of a pseudo-terminal, whatever is on /dev/pts; ``flags`` as for open (O_RDWR | O_NOCTTY)."""
    return call("ioctl", ptmx_fd, _TIOCGPTPEER, flags, subject="TIOCGPTPEER")


def unlock(ptmx_fd: int) -> None:
    """Let the other end be opened."""
    call("ioctl", ptmx_fd, _TIOCSPTLCK, struct.pack("i", 0), subject="TIOCSPTLCK")


def number(ptmx_fd: int) -> int:
    """N of /dev/pts/N."""
    held = buffer(4)
    call("ioctl", ptmx_fd, _TIOCGPTN, held, subject="TIOCGPTN")
    index: int = struct.unpack("i", held.raw)[0]
    return index


def make_controlling(fd: int) -> None:
    """Make a terminal the controlling one of this session leader."""
    call("ioctl", fd, _TIOCSCTTY, 0, subject="TIOCSCTTY")


def get_window_size(fd: int) -> tuple[int, int]:
    """(rows, columns)."""
    held = buffer(8)
    call("ioctl", fd, _TIOCGWINSZ, held, subject="TIOCGWINSZ")
    rows, columns, _, _ = struct.unpack("4H", held.raw)
    return rows, columns


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal its size; the foreground group gets SIGWINCH when it changed."""
    call("ioctl", fd, _TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0), subject="TIOCSWINSZ")
