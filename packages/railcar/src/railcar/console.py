"""A container's terminal: made inside by descriptor, handed out over a console socket or relayed to ours.

pts(4), ioctl_tty(2); the console socket's protocol is runc's: one message with the controlling end, then closed.
"""

from __future__ import annotations

import _socket
import os
import stat

from ocicommon.linux import mounts, terminal
from ocicommon.linux.sockets import receive_fds, send_fds

from railcar.errors import ConfigError, StepError
from railcar.rootfs import legacy, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAYLOAD = b"/dev/pts/ptmx"
_LONGEST_SOCKET_PATH = 107  # unix(7)
_PTMX = os.makedev(5, 2)
_UNWANTED = (1, 22, 30, 75)  # EPERM, EINVAL, EROFS, EOVERFLOW: owners that cannot be set are left


def size_of(process: dict[str, Any]) -> tuple[int, int] | None:
    """(rows, columns) of process.consoleSize; None without one, or where there is no terminal. Raises ConfigError."""
    size = process.get("consoleSize")
    if not size or not process.get("terminal"):
        return None
    rows, columns = size.get("height", 0), size.get("width", 0)
    for name, value in (("height", rows), ("width", columns)):
        if type(value) is not int or not 0 <= value <= 0xFFFF:
            raise ConfigError(f"process.consoleSize.{name} {value!r} must be a number below 65536")
    return rows, columns


def connect(path: str, step: str = "console socket") -> _socket.socket:
    """A connection to an engine's socket, made before the clone. Raises StepError, of this step."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    directory = -1
    try:
        name = path
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            parent, base = os.path.split(path)
            directory = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            name = f"/proc/self/fd/{directory}/{base}"
        sock.connect(name)
    except OSError as error:
        sock.close()
        raise StepError(step, path, error.errno or 0) from error
    finally:
        if directory >= 0:
            os.close(directory)
    return sock


def pair() -> tuple[_socket.socket, _socket.socket]:
    """(ours, the container's): what stands in for a console socket where this command relays the terminal itself."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)


def send(sock: _socket.socket, ptmx: int) -> None:
    """Hand out the controlling end. Raises StepError."""
    try:
        send_fds(sock, _PAYLOAD, [ptmx])
    except OSError as error:
        raise StepError("console socket", "sending the terminal", error.errno or 0) from error


def receive(sock: _socket.socket) -> int:
    """The controlling end from the other side of ``pair``; -1 when the container died before it had one."""
    _, fds = receive_fds(sock)
    for fd in fds[1:]:
        os.close(fd)
    return fds[0] if fds else -1


def open_pair(root_fd: int, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """(controlling end, terminal) of a new pseudo-terminal of the root's own devpts. Raises StepError.

    Both come by descriptor: of what an image may have put on /dev, nothing is followed or trusted (CVE-2025-52565).
    """
    ptmx = peer = -1
    try:
        ptmx = paths.resolve(root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_NONBLOCK)
        found = os.fstat(ptmx)
        if (
            not stat.S_ISCHR(found.st_mode)
            or found.st_rdev != _PTMX
            or mounts.filesystem_type(ptmx) != mounts.DEVPTS_SUPER_MAGIC
        ):
            raise StepError("terminal", "/dev/pts/ptmx", hint="is not the multiplexer of a devpts filesystem")
        os.set_blocking(ptmx, True)
        terminal.unlock(ptmx)
        peer = terminal.open_peer(ptmx, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        if size is not None:
            terminal.set_window_size(ptmx, *size)
    except BaseException as error:
        for fd in (ptmx, peer):
            if fd >= 0:
                os.close(fd)
        if isinstance(error, OSError):
            hint = "process.terminal needs a devpts mount on /dev/pts" if error.errno == 2 else ""
            raise StepError("terminal", "/dev/pts/ptmx", error.errno or 0, hint) from error
        raise
    return ptmx, peer


def bind(root_fd: int, peer: int, modern: bool = True) -> None:
    """Make /dev/console the terminal, before the old root is left. Raises StepError."""
    dev = tree = target = -1
    try:
        dev = paths.make_directory(root_fd, "/dev")
        try:
            os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=dev))
        except FileExistsError:
            pass
        target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev)
        mode = os.fstat(target).st_mode
        if stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            raise StepError("terminal", "/dev/console", hint="the root has a link or a directory there")
        if not modern:
            legacy.bind_file(peer, target)
            return
        tree = mounts.clone_tree("", peer, recursive=False, empty=True)
        mounts.attach(tree, target)
    except OSError as error:
        raise StepError("terminal", "/dev/console", error.errno or 0) from error
    finally:
        for fd in (dev, tree, target):
            if fd >= 0:
                os.close(fd)


def take(peer: int) -> None:
    """Make the terminal this session leader's own, and its 0, 1 and 2."""
    try:
        terminal.make_controlling(peer)
        for number in range(3):
            os.dup2(peer, number)
    except OSError as error:
        raise StepError("terminal", "controlling terminal", error.errno or 0) from error
    if peer > 2:
        os.close(peer)


def own_stdio(uid: int) -> None:
    """Give 0, 1 and 2 to the process's user, as far as they can be given; the null device stays everybody's."""
    null = os.makedev(1, 3)
    for number in range(3):
        try:
            found = os.fstat(number)
            if found.st_uid == uid or (stat.S_ISCHR(found.st_mode) and found.st_rdev == null):
                continue
            os.fchown(number, uid, -1)
        except OSError as error:
            if error.errno not in (*_UNWANTED, 9):
                raise StepError("stdio", f"descriptor {number}", error.errno or 0) from error
