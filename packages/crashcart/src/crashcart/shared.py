"""Tools mounted in the container's own mount namespace (``-m``), for its own processes to use, until ``-u``.

A child of crashcart enters the container for it and is gone again; crashcart itself stays outside. Where /dev is
read-only, a detached copy of its mount is made writable and used: the container's own mounts stay as they are.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import errno
import os
import select
import stat
import time

from ocicommon.linux import lockdown, mounts, process
from ocicommon.linux.calls import AT_EMPTY_PATH
from ocicommon.linux.errors import SyscallError, describe, explain

from crashcart import image, kernel, procfs, report
from crashcart.enter import open_tools
from crashcart.entry import Entry, enter, open_entry
from crashcart.errors import CrashcartError
from crashcart.targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DEV = "/dev"
_SECONDS = 60.0
_ENTRY = "crashcart"
_NAMESPACES = ("user", "mnt")


def mount(target: Target, name: str | None, directory: str | None) -> None:
    """Mount the tools at /dev/crashcart of the target."""
    tools = open_tools(name, directory)
    try:
        if tools.directory >= 0:
            image.clone_directory(tools)
        entry = open_entry(target, _NAMESPACES)
        try:
            if "user" in entry.fds:
                image.map_ids(tools, entry.fds["user"])
            _inside(target, entry, lambda: _mount(tools))
        finally:
            entry.close()
    except OSError as error:
        target.check()  # most calls fail somehow when the container is gone
        raise CrashcartError(f"cannot mount in {target.container.describe()}: {explain(error)}") from error
    finally:
        tools.close()


def unmount(target: Target, *, force: bool) -> None:
    """Take away what ``mount`` made. CrashcartError when it is not there, or is in use and not ``force``."""
    entry = open_entry(target, _NAMESPACES)
    try:
        _inside(target, entry, lambda: _unmount(force))
    finally:
        entry.close()


def is_mounted(target: Target) -> bool:
    """Whether something is mounted at /dev/crashcart of the target."""
    lines = procfs.read(f"/proc/{target.pid}/mountinfo").splitlines()
    return any(line.split()[4] == image.ROOT.encode() for line in lines)


def _inside(target: Target, entry: Entry, act: Callable[[], None]) -> None:
    """Run ``act`` in a child that has entered; its error becomes ours."""
    lockdown.preload()
    process.set_dumpable(False)
    told, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            lockdown.lock()
            os.close(told)
            enter(entry, private=False)
            act()
            code = 0
        except CrashcartError as error:
            os.write(tell, str(error).encode("utf-8", "surrogateescape"))
        except OSError as error:
            os.write(tell, explain(error).encode("utf-8", "surrogateescape"))
        except BaseException as error:
            os.write(tell, f"a defect of crashcart: {type(error).__name__}: {error}".encode())
        finally:
            os._exit(code)
    os.close(tell)
    try:
        message = _await_word(target, told)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(told)
    _, status = os.waitpid(pid, 0)
    if message:
        raise CrashcartError(f"{target.container.describe()}: {message.decode('utf-8', 'surrogateescape')}")
    if status:
        raise CrashcartError(f"{target.container.describe()} has just ended")


def _await_word(target: Target, told: int) -> bytes:
    """What the child has to say until it ends; CrashcartError when something in the container never answers it."""
    poll = select.poll()
    poll.register(told, select.POLLIN)
    message = b""
    deadline = time.monotonic() + _SECONDS
    while poll.poll(max(0, deadline - time.monotonic()) * 1000):
        part = os.read(told, 4096)
        if not part:
            return message
        message += part
    raise CrashcartError(f"{target.container.describe()} does not answer: given up after {_SECONDS:.0f} seconds")


def _open_dev() -> int:
    try:
        return os.open(_DEV, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CrashcartError(
            f"its {_DEV} is no directory ({describe(error.errno or 0)}): nothing to mount in"
        ) from error


def _is_tools(directory: int) -> bool:
    """Whether a filesystem other than /dev's own is mounted at /dev/crashcart."""
    try:
        return mounts.is_mount_root(directory, _ENTRY)
    except OSError:
        return False


def _mount(tools: image.Tools) -> None:
    directory = _open_dev()
    if _is_tools(directory):
        raise CrashcartError(f"{image.ROOT} is mounted already: `crashcart -u` takes it away")
    made = _with_writable(directory, _make)
    try:
        if tools.tree < 0:
            os.chdir(_DEV)
        image.place(tools, directory, _ENTRY)
    except BaseException:
        if made:
            _with_writable(directory, _remove)
        raise


def _make(directory: int) -> bool:
    """Make the mount point; whether it was not there. Anything but an empty directory of that name is refused."""
    try:
        os.mkdir(_ENTRY, 0o755, dir_fd=directory)
        return True
    except FileExistsError:
        found = os.stat(_ENTRY, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            raise CrashcartError(f"its {image.ROOT} exists and is no directory: remove it, or run without -m") from None
        return False


def _remove(directory: int) -> bool:
    os.rmdir(_ENTRY, dir_fd=directory)
    return True


def _with_writable(directory: int, act: Callable[[int], bool]) -> bool:
    """Run ``act`` on the directory; where its mount is read-only, on a detached copy of the mount that is writable."""
    try:
        return act(directory)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    if not (kernel.may_use("mount-fd") and kernel.may_use("mount-setattr")):
        raise CrashcartError(
            f"its {_DEV} is read-only, and this kernel (before Linux 5.12) has no way around: run without -m"
        )
    report.note(f"{_DEV} is read-only: a detached copy of its mount is made writable")
    flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC
    copy = mounts.open_tree(directory, "", flags | AT_EMPTY_PATH)
    try:
        mounts.mount_setattr(copy, "", AT_EMPTY_PATH, clear=mounts.MOUNT_ATTR_RDONLY)
        writable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=copy)
        try:
            return act(writable)
        finally:
            os.close(writable)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise CrashcartError(f"the filesystem of its {_DEV} can only be read: run without -m") from error
        raise
    finally:
        os.close(copy)


def _unmount(force: bool) -> None:
    directory = _open_dev()
    found = _is_tools(directory)
    if found:
        try:
            mounts.umount2(image.ROOT, mounts.UMOUNT_NOFOLLOW | (mounts.MNT_DETACH if force else 0))
        except SyscallError as error:
            if error.errno == errno.EBUSY:
                raise CrashcartError(
                    f"{image.ROOT} is in use: end the tools that run from it, or unmount with --force"
                ) from error
            raise
    try:
        _with_writable(directory, _remove)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and not found:
            raise CrashcartError(f"nothing is mounted at {image.ROOT}") from error
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY):
            raise
