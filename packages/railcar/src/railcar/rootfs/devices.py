"""Device nodes: which a container gets (decided), and their making in its /dev (done, by descriptor).

runtime-spec config-linux.md, "Devices" and "Default Devices".
"""

from __future__ import annotations

import os
import stat

from ocicommon.linux import mounts

from railcar.errors import ConfigError, StepError
from railcar.rootfs import legacy, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_EPERM = 1
_ENOENT = 2
_EEXIST = 17
# The kernel's word for no id.
_NO_ID = 0xFFFFFFFF
_DEFAULT_MODE = 0o666

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

# path: (major, minor)
DEFAULTS = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}

# path below /dev: target
LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)


class Device:
    """A node to be: ``kind`` is S_IFCHR, S_IFBLK or S_IFIFO; ``mode`` the permission bits.

    ``owner``: its ids as the host counts, -1 for one that is not mapped, where they are known and others than here.
    """

    __slots__ = ("gid", "kind", "major", "minor", "mode", "owner", "path", "uid")

    def __init__(self, path: str, kind: int, major: int, minor: int, mode: int, uid: int, gid: int) -> None:
        self.path = path
        self.kind = kind
        self.major = major
        self.minor = minor
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.owner: tuple[int, int] | None = None

    def __repr__(self) -> str:
        letter = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}[self.kind]
        return f"{self.path} {letter} {self.major}:{self.minor} {self.mode:o} {self.uid}:{self.gid}"


def wanted_devices(listed: list[dict[str, Any]]) -> list[Device]:
    """The devices of linux.devices, after the defaults that they do not replace. Raises ConfigError."""
    own = [_device(index, entry) for index, entry in enumerate(listed)]
    taken = {device.path for device in own}
    defaults = [
        Device(path, stat.S_IFCHR, major, minor, _DEFAULT_MODE, 0, 0)
        for path, (major, minor) in DEFAULTS.items()
        if path not in taken
    ]
    return defaults + own


def _device(index: int, entry: dict[str, Any]) -> Device:
    where = f"linux.devices[{index}]"
    path = entry.get("path") or ""
    if not path.startswith("/") or "\0" in path or os.path.normpath(path) in ("/", "/dev"):
        raise ConfigError(f"{where}.path {path!r} is not the absolute path of a device")
    kind = _KINDS.get(entry.get("type") or "")
    if kind is None:
        raise ConfigError(f"{where}.type {entry.get('type')!r} of {path} is not c, u, b or p")
    numbers = [entry.get("major", 0), entry.get("minor", 0)]
    if kind != stat.S_IFIFO and any(type(n) is not int or n < 0 or n >= 1 << 32 for n in numbers):
        raise ConfigError(f"{where} ({path}): major {numbers[0]!r} and minor {numbers[1]!r} must be numbers from 0 on")
    mode = entry.get("fileMode")
    owner = [entry.get("uid") or 0, entry.get("gid") or 0]
    if any(type(number) is not int or not 0 <= number < _NO_ID for number in owner):
        raise ConfigError(f"{where} ({path}): uid {owner[0]!r} and gid {owner[1]!r} must be from 0 to {_NO_ID - 1}")
    if mode is not None and (type(mode) is not int or mode < 0):
        raise ConfigError(f"{where}.fileMode {mode!r} of {path} is not a number from 0 on")
    permissions = _DEFAULT_MODE if mode is None else mode & 0o7777
    return Device(os.path.normpath(path), kind, numbers[0], numbers[1], permissions, owner[0], owner[1])


def create(root_fd: int, devices: list[Device], modern: bool = True) -> None:
    """Make the nodes, or bind the host's where the kernel forbids nodes (user namespaces). Raises StepError."""
    umask = os.umask(0)
    within, directory = "", -1
    try:
        for device in devices:
            parent, name = os.path.split(device.path)
            try:
                if directory < 0 or parent != within:
                    if directory >= 0:
                        os.close(directory)
                        directory = -1
                    within, directory = parent, paths.make_directory(root_fd, parent)
                _create(root_fd, directory, name, device, modern)
            except OSError as error:
                raise StepError("device", device.path, error.errno or 0) from error
    finally:
        os.umask(umask)
        if directory >= 0:
            os.close(directory)


def _create(root_fd: int, directory: int, name: str, device: Device, modern: bool) -> None:
    try:
        os.mknod(name, device.kind | device.mode, os.makedev(device.major, device.minor), dir_fd=directory)
    except OSError as error:
        if error.errno == _EEXIST:
            _check_existing(directory, name, device)
            return
        if error.errno != _EPERM:
            raise
        _bind(root_fd, device, modern)
        return
    os.chown(name, device.uid, device.gid, dir_fd=directory, follow_symlinks=False)


def _same(found: os.stat_result, device: Device) -> bool:
    if stat.S_IFMT(found.st_mode) != device.kind:
        return False
    return device.kind == stat.S_IFIFO or found.st_rdev == os.makedev(device.major, device.minor)


def _check_existing(directory: int, name: str, device: Device) -> None:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not _same(found, device):
        raise StepError("device", device.path, hint=f"the root has another file there, and not {device!r}")


def _bind(root_fd: int, device: Device, modern: bool) -> None:
    """Bind the host's node of the same path: this runs before the old root is left, so the path is still the host's."""
    try:
        source = os.open(device.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StepError(
            "device", device.path, error.errno or 0, "cannot be made here, and the host has none"
        ) from error
    tree = target = -1
    try:
        if not _same(os.fstat(source), device):
            raise StepError("device", device.path, _EPERM, "cannot be made here, and the host's is another device")
        target = paths.make_file(root_fd, device.path)
        if not modern:
            legacy.bind_file(source, target)
            return
        tree = mounts.clone_tree("", source, recursive=False, empty=True)
        mounts.attach(tree, target)
    finally:
        for fd in (source, tree, target):
            if fd >= 0:
                os.close(fd)


def link(dev_fd: int, name: str, target: str) -> None:
    """A symbolic link in /dev; one that is there already stays, and so does any other file."""
    try:
        os.symlink(target, name, dir_fd=dev_fd)
    except OSError as error:
        if error.errno != _EEXIST:
            raise StepError("link", f"/dev/{name}", error.errno or 0) from error


def default_links(root_fd: int, has_pts: bool) -> None:
    """fd, stdin, stdout, stderr, core, and ptmx (which an image may have brought as something else)."""
    dev = paths.make_directory(root_fd, "/dev")
    try:
        for name, target in LINKS:
            link(dev, name, target)
        try:
            os.stat("/proc/kcore")
            link(dev, "core", "/proc/kcore")
        except OSError:
            pass
        if has_pts:
            try:
                os.unlink("ptmx", dir_fd=dev)
            except OSError as error:
                if error.errno != _ENOENT:
                    raise StepError("unlink", "/dev/ptmx", error.errno or 0) from error
            link(dev, "ptmx", "pts/ptmx")
    finally:
        os.close(dev)


def open_null() -> int:
    """An O_PATH descriptor of the host's /dev/null, looked at: an image's could be anything (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        os.close(fd)
        raise StepError("masks", "/dev/null", hint="the host's is not the null device (character 1:3)")
    return fd
