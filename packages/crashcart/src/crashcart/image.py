"""The image of tools: found, told by its first bytes, and mounted where nobody sees it: as a detached tree.

Nothing is created on the host's filesystems. A loop device, where one is needed, is freed by the kernel with the last
mount of it (LO_FLAGS_AUTOCLEAR), however crashcart ends.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_EMPTY_PATH, AT_RECURSIVE
from ocicommon.linux.errors import SyscallError

from crashcart import kernel, report
from crashcart.errors import CrashcartError

DEFAULT = "crashcart.img"
ROOT = "/dev/crashcart"
_ATTRIBUTES = mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV
_FLAGS = mounts.MS_RDONLY | mounts.MS_NOSUID | mounts.MS_NODEV
_ENODEV = 19
_ENOTBLK = 15
# Filesystem: (offset of its magic number, the magic number, the --format that makes it, for messages).
_MAGICS = {
    "erofs": (1024, b"\xe2\xe1\xf5\xe0"),
    "squashfs": (0, b"hsqs"),
    "ext4": (1080, b"\x53\xef"),  # and ext2, ext3, which the same driver mounts
}


class Tools:
    """What will be at /dev/crashcart.

    ``tree`` is a detached mount. Where the kernel has none it is -1, and ``device`` with ``filesystem`` is what
    mount(2) takes; ``held`` are descriptors that keep the loop device until then. ``directory`` is still to be cloned.
    """

    __slots__ = ("device", "directory", "filesystem", "held", "tree", "writable")

    def __init__(self, tree: int = -1, device: str = "", filesystem: str = "", directory: int = -1) -> None:
        self.tree = tree
        self.device = device
        self.filesystem = filesystem
        self.directory = directory
        self.held: list[int] = []
        #: The tree is yet to be made read-only, once it is mounted.
        self.writable = False

    def close(self) -> None:
        """Let go of everything; what is mounted stays."""
        for fd in (self.tree, self.directory, *self.held):
            if fd >= 0:
                os.close(fd)
        self.tree = self.directory = -1
        self.held = []


def locate(name: str | None, environ: dict[str, str]) -> str:
    """The file of an image: a path, or a name looked up in the data directories. CrashcartError when it is nowhere."""
    wanted = name or DEFAULT
    home = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME", "/"), ".local/share")
    directories = [os.path.join(directory, "crashcart") for directory in (home, "/usr/local/share", "/usr/share")]
    candidates = [wanted]
    if "/" not in wanted:
        candidates += [os.path.join(directory, wanted) for directory in directories]
    for path in candidates:
        if os.path.exists(path):
            return path
    where = f", nor in {', '.join(directories)}" if len(candidates) > 1 else ""
    raise CrashcartError(
        f"no image {wanted} here{where}: name one with -i, or make it with `crashcart build -o {wanted}`"
    )


def identify(head: bytes) -> str:
    """The filesystem whose first bytes (1100 will do) these are; empty for none that crashcart mounts."""
    for name, (offset, magic) in _MAGICS.items():
        if head[offset : offset + len(magic)] == magic:
            return name
    return ""


def open_image(path: str) -> Tools:
    """Mount the image at ``path``, detached. CrashcartError, which names a way out, when that is impossible."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CrashcartError(f"cannot open image {path}: {error.strerror}") from error
    try:
        try:
            head = os.pread(fd, 4096, 0)
        except OSError as error:
            raise CrashcartError(f"cannot read image {path}: {error.strerror}; for a directory use --dir") from error
        filesystem = identify(head)
        if not filesystem:
            raise CrashcartError(f"{path} is no image: it is none of {', '.join(_MAGICS)}")
        return _mount(fd, path, filesystem)
    except SyscallError as error:
        raise CrashcartError(_explain(error, path, filesystem)) from error
    finally:
        os.close(fd)


def _explain(error: SyscallError, path: str, filesystem: str) -> str:
    if error.errno == _ENODEV and error.call in ("fsopen", "mount"):
        others = " or ".join(f"--format {name}" for name in ("squashfs", "ext4", "erofs") if name != filesystem)
        return f"this kernel has no {filesystem}, which {path} is made of: make it by `crashcart build` with {others}"
    if error.errno == 1:
        return f"mounting image {path} needs root ({error}); --dir DIR side-loads a directory without"
    return f"cannot mount image {path}: {error}"


def _mount(fd: int, path: str, filesystem: str) -> Tools:
    if filesystem == "erofs":
        if kernel.may_use("mount-fd") and kernel.may_use("erofs-file"):
            try:
                return Tools(_detached(filesystem, f"/proc/self/fd/{fd}"))
            except SyscallError as error:
                if error.errno not in (_ENOTBLK, 22) and not kernel.is_missing(error.errno or 0):
                    raise
        report.note(f"no erofs from a file (Linux 6.12, and not of {path}'s filesystem): a loop device is used")
    from ocicommon.linux import loop

    device, loop_fd = loop.attach(fd, read_only=True, autoclear=True)
    try:
        if kernel.may_use("mount-fd"):
            try:
                return Tools(_detached(filesystem, device))
            except SyscallError as error:
                if not kernel.is_missing(error.errno or 0):
                    raise
        report.note("no detached mounts (Linux 5.2): the image is mounted inside by mount(2)")
        tools = Tools(device=device, filesystem=filesystem)
        tools.held.append(os.dup(loop_fd))
        return tools
    finally:
        os.close(loop_fd)


def _detached(filesystem: str, source: str) -> int:
    context = mounts.fsopen(filesystem)
    try:
        mounts.fsconfig_set_string(context, "source", source)
        mounts.fsconfig_set_flag(context, "ro")
        if filesystem == "ext4":
            mounts.fsconfig_set_flag(context, "noload")  # a journal cannot be replayed on a read-only device
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, attributes=_ATTRIBUTES)
    finally:
        os.close(context)


def open_directory(path: str) -> Tools:
    """A directory to be side-loaded. It is cloned later, where the privilege for that is: see ``clone_directory``."""
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CrashcartError(f"cannot open directory {path}: {error.strerror}") from error
    return Tools(directory=fd)


def clone_directory(tools: Tools) -> None:
    """Turn a directory into a detached read-only tree. SyscallError with EPERM where the caller may not mount."""
    if not kernel.may_use("mount-fd"):
        raise CrashcartError("--dir needs Linux 5.2 (open_tree); an image (-i) does without")
    flags = mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE
    tools.tree = mounts.open_tree(tools.directory, "", flags)
    make_read_only(tools)


def make_read_only(tools: Tools) -> None:
    """Make a cloned directory read-only, now or once it is mounted."""
    if kernel.may_use("mount-setattr"):
        at = AT_EMPTY_PATH | AT_RECURSIVE
        try:
            mounts.mount_setattr(tools.tree, "", at, set_=_ATTRIBUTES, propagation=mounts.MS_PRIVATE)
            return
        except SyscallError as error:
            if not kernel.is_missing(error.errno or 0):
                raise
    report.note("no mount_setattr (Linux 5.12): the directory is made read-only by mount(2), and what is below is not")
    tools.writable = True


def map_ids(tools: Tools, user_namespace: int) -> None:
    """Make the image's root the root of a user namespace, where the filesystem is able to."""
    if tools.tree < 0 or not kernel.may_use("mount-setattr"):
        report.note("no mount_setattr (Linux 5.12): the image's files are those of nobody in the user namespace")
        return
    try:
        mounts.mount_setattr(tools.tree, "", AT_EMPTY_PATH, set_=mounts.MOUNT_ATTR_IDMAP, userns_fd=user_namespace)
    except SyscallError as error:
        report.note(f"the image's files show as those of nobody in the container's user namespace: {error}")


def place(tools: Tools, directory: int, name: str) -> None:
    """Mount the tools on entry ``name`` (a directory) of the open directory, where the caller may mount."""
    if tools.tree >= 0:
        mounts.move_mount(tools.tree, "", directory, name, mounts.MOVE_MOUNT_F_EMPTY_PATH)
        if tools.writable:
            os.fchdir(directory)
            mounts.mount(None, name, None, mounts.MS_REMOUNT | mounts.MS_BIND | _FLAGS)
        return
    # mount(2) takes paths only; /proc may be the container's own invention, the working directory cannot be.
    os.fchdir(directory)
    number = os.fstat(tools.held[0]).st_rdev
    node = f".{name}.device"
    os.mknod(node, 0o600 | 0o060000, number)
    try:
        data = "noload" if tools.filesystem == "ext4" else None
        mounts.mount(node, name, tools.filesystem, _FLAGS, data)
    finally:
        os.unlink(node)
