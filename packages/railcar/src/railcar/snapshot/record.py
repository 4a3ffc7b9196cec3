"""What a snapshot is bound to, and what became of it: a small text file beside it.

The boot (and with it kernel, processor and vdso), and every file whose content is in the memory: each by device, inode,
size and times. A snapshot that was refused is recorded as well, so that it is not tried again at each start: what was
in the way may pass (a full disk, a maker that was killed), so it is tried again after an hour.
"""

import contextlib
import os
import time
from dataclasses import dataclass

from railcar import archive, snapshot

MADE = "made"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NAME = "record"
_OFF = "off"
_REFUSED_FOR = 3600.0


@dataclass(frozen=True)
class Identity:
    """A file as it was; times in nanoseconds since 1970."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: str) -> "Identity":
        """Of the file as it is. Raises OSError."""
        found = os.stat(path)
        return cls(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def numbers(self) -> tuple[int, ...]:
        """As struct stat has them: device, inode, size, seconds and nanoseconds of both times."""
        second = 10**9
        return (
            self.device, self.inode, self.size,
            self.modified // second, self.modified % second, self.changed // second, self.changed % second,
        )  # fmt: skip

    def line(self) -> str:
        """One line of the record."""
        return f"{self.device} {self.inode} {self.size} {self.modified} {self.changed} {self.path}"


def marks() -> list[Identity]:
    """The files of railcar that tell one installation from another."""
    return [Identity.of(f"{snapshot.HOME}/{name}") for name in archive.MARKS]


def boot() -> str:
    """The id of this boot. Raises OSError."""
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def read() -> str:
    """What became of the snapshot of this boot and these files: "made", why not, or "" for nothing yet."""
    try:
        with open(os.path.join(snapshot.DIRECTORY, _NAME), encoding="utf-8", errors="surrogateescape") as file:
            of, said, *lines = file.read().splitlines()
        if of != boot() or any(Identity.of(line.split(" ", 5)[5]).line() != line for line in lines):
            return ""
        if lines and not {mark.line() for mark in marks()}.issubset(lines):
            return ""  # of the installation that this one was copied from
    except (OSError, ValueError, IndexError):
        return ""
    return said


def stands() -> bool:
    """Whether the record still holds: that a snapshot was made, always; why none could be, for an hour."""
    said = read()
    if said in ("", MADE):
        return said == MADE
    try:
        written = os.stat(os.path.join(snapshot.DIRECTORY, _NAME)).st_mtime
    except OSError:
        return False
    return 0 <= time.time() - written < _REFUSED_FOR


def write(said: str, files: list[Identity], directory: int) -> None:
    """Replace the record, in the open directory. Raises OSError."""
    text = "".join(f"{line}\n" for line in (boot(), said, *(file.line() for file in files)))
    new = f"{_NAME}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.replace(new, _NAME, src_dir_fd=directory, dst_dir_fd=directory)


def declined() -> bool:
    """Whether snapshots were declined for good."""
    return os.path.lexists(os.path.join(snapshot.DIRECTORY, _OFF))


def turn_off(directory: int) -> None:
    """Decline snapshots until `railcar setup` is asked for one. Raises OSError."""
    turn_on(directory)
    os.close(os.open(_OFF, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory))


def turn_on(directory: int) -> None:
    """Forget that snapshots were declined, and that one was refused."""
    for name in (_OFF, _NAME):
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue


def directory(make: bool = True) -> int:
    """A descriptor of the snapshot's directory, which is root's alone. Raises OSError."""
    if make:
        os.makedirs(os.path.dirname(snapshot.DIRECTORY), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(snapshot.DIRECTORY, 0o700)
    opened = os.open(snapshot.DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(opened)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(opened)
        raise PermissionError(1, "others may enter the directory")
    return opened
