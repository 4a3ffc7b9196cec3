"""The directories of groups: those that lack above one, and all below it, however deep: one descriptor at a time, no
recursion, no path grows."""

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def missing(path: str, mount: str) -> list[str]:
    """The directories that are absent on the way from a mount point to a group, outermost first."""
    result: list[str] = []
    while path != mount and path.startswith(mount + "/") and not os.access(path, os.F_OK):
        result.append(path)
        path = path.rpartition("/")[0]
    result.reverse()
    return result


def _children(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def bottom_up(
    path: str, leave: "Callable[[int, str], None] | None", visit: "Callable[[int], None] | None" = None
) -> None:
    """Visit each group of a tree by a descriptor of its directory, and leave each one below ``path``, deepest first.

    ``leave(parent descriptor, name)`` is called for every descendant after all of its own descendants. A group that
    vanishes meanwhile is passed over; other errors of the callbacks go through. Raises FileNotFoundError when
    ``path`` is absent.
    """
    descriptor = os.open(path, DIRECTORY)
    try:
        if visit:
            visit(descriptor)
        names: list[str] = []
        open_ends = [_children(descriptor)]
        while True:
            if open_ends[-1]:
                name = open_ends[-1].pop()
                try:
                    child = os.open(name, DIRECTORY, dir_fd=descriptor)
                except FileNotFoundError:
                    continue
                os.close(descriptor)
                descriptor = child
                names.append(name)
                if visit:
                    visit(descriptor)
                try:
                    open_ends.append(_children(descriptor))
                except OSError as error:
                    if error.errno != errno.ENODEV:
                        raise
                    open_ends.append([])
            elif names:
                parent = os.open("..", DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = parent
                open_ends.pop()
                if leave:
                    leave(descriptor, names[-1])
                names.pop()
            else:
                return
    finally:
        os.close(descriptor)


def write_at(descriptor: int, name: str, text: str) -> None:
    """Write to a control file of an open group, if it is still there. Raises OSError."""
    try:
        file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=descriptor)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return
        raise
    try:
        os.write(file, text.encode())
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    finally:
        os.close(file)


def read_at(descriptor: int, name: str) -> str:
    """The text of a control file of an open group; empty when it cannot be read (threaded groups refuse
    cgroup.procs)."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=descriptor)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(file, 65536):
            parts.append(part)
        return b"".join(parts).decode()
    except OSError:
        return ""
    finally:
        os.close(file)
