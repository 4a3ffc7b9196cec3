"""What stage 1 opens for a container's root before the clone: copies of the host's mounts, as detached trees.

A tree that was copied here can be attached inside, whatever the container's user namespace may see of the host's
paths; and an idmapped one can only be made with the capabilities of here. mount_setattr(2), open_tree(2).
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_EMPTY_PATH, AT_RECURSIVE
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.namespaces import TYPES

from railcar.errors import ConfigError, StepError
from railcar.rootfs.idmap import UserNamespaces
from railcar.rootfs.nodes import Nodes, make

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.handshake import Channel
    from railcar.rootfs.mount import Mount
    from railcar.rootfs.planning import Plan

_EPERM = 1
_EINVAL = 22
_ENOSYS = 38


class Sources:
    """Descriptors, all close-on-exec: the root's tree, and those of bind mounts by their place in ``Plan.mounts``.

    ``root`` is -1 and a place is missing where the caller may not copy mounts (rootless): they are opened inside then.
    ``spaces``: the user namespaces of idmapped mounts. ``nodes``: the devices of a container that may make none.
    ``modern``: whether the kernel has the mount API by descriptor, as far as it is needed (Linux 5.12).
    """

    __slots__ = ("modern", "nodes", "root", "spaces", "trees")

    def __init__(self) -> None:
        self.root = -1
        self.trees: dict[int, int] = {}
        self.modern = True
        self.spaces = UserNamespaces()
        self.nodes = Nodes()

    def close(self) -> None:
        """Stage 1 needs them no more after the clone."""
        for fd in [self.root, *self.trees.values()]:
            if fd >= 0:
                os.close(fd)
        self.root = -1
        self.trees = {}
        self.spaces.close()
        self.nodes.close()


def is_modern() -> bool:
    """Whether the kernel has the mount API by descriptor up to mount_setattr, the youngest call of it."""
    try:
        mounts.mount_setattr(-1, "", 0)  # changes nothing, so only the call itself is asked for
    except SyscallError as error:
        return error.errno != _ENOSYS
    return True


def inherited_propagation(propagation: int) -> int:
    """What a copy of the host's mounts becomes first, so that nothing of the container's reaches the host.

    Only a root that is asked to be shared stays a peer of the host's.
    """
    if propagation & mounts.MS_SHARED:
        return 0
    return mounts.MS_PRIVATE if propagation & mounts.MS_PRIVATE else mounts.MS_SLAVE


def clone(path: str, recursive: bool, propagation: int, at: int = -1) -> int:
    """A detached copy of the mount at a path of the host, with its propagation cut as told. Raises SyscallError.

    ``at``: a descriptor of what is there, instead of the path.
    """

    def copy(deep: bool) -> int:
        return (
            mounts.clone_tree(path, recursive=deep) if at < 0 else mounts.clone_tree("", at, recursive=deep, empty=True)
        )

    try:
        fd = copy(recursive)
    except SyscallError as error:
        # In a user namespace what lies below is locked to its mount: it can only be copied with it.
        if error.errno != _EINVAL or recursive:
            raise
        fd = copy(True)
    if propagation:
        try:
            mounts.mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, propagation=propagation)
        except BaseException:
            os.close(fd)
            raise
    return fd


def clone_root(path: str, propagation: int) -> int:
    """A detached copy of the root, with what is mounted below it. Raises SyscallError.

    The root itself is never a peer of the host's mount, not even one that is asked to be shared: what the container
    mounts on it would show on the host. What is mounted below, and volumes, may be.
    """
    fd = clone(path, True, inherited_propagation(propagation))
    if propagation & mounts.MS_SHARED:
        mounts.mount_setattr(fd, "", AT_EMPTY_PATH, propagation=mounts.MS_PRIVATE)
    return fd


def open_sources(plan: Plan, modern: bool | None = None) -> Sources:
    """Open everything of the host that the root is made of. Raises StepError; then nothing stays open.

    ``modern`` False keeps to the calls of old kernels.
    """
    sources = Sources()
    sources.modern = is_modern() if modern is None else modern
    _look_at_root(plan.rootfs)
    if plan.label and not os.path.exists("/sys/fs/selinux/enforce"):
        raise ConfigError(f'linux.mountLabel "{plan.label}" needs SELinux, which is not enabled here: leave it out')
    for kind, path in plan.sysctl_joins:
        _refuse_own_namespace(kind, path)
    if plan.enter == "chroot" or not sources.modern:
        return sources
    propagation = inherited_propagation(plan.propagation)
    spaces = sources.spaces
    try:
        try:
            sources.root = clone_root(plan.rootfs, plan.propagation)
        except SyscallError as error:
            if error.errno == _EPERM:
                return sources
            raise StepError("rootfs", plan.rootfs, error.errno or 0) from error
        for place, mount in enumerate(plan.mounts):
            if mount.what == "bind" and not mount.inside:
                sources.trees[place] = _open(mount, propagation, spaces)
            elif mount.options.idmap:
                spaces.of(mount)  # inside, none can be made
        if plan.user_namespace:
            own = [device for device in plan.devices if device.owner is not None]
            sources.nodes = make(own, [device.owner for device in own if device.owner is not None])
    except BaseException:
        sources.close()
        raise
    return sources


def _look_at_root(path: str) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError("rootfs", path, error.errno or 0, "root.path in config.json must be a directory") from error
    os.close(fd)


def _refuse_own_namespace(kind: str, path: str) -> None:
    """A namespace that is joined by path may be this very one: then linux.sysctl would change the host."""
    try:
        joined, own = os.stat(path), os.stat("/proc/self/ns/" + TYPES[kind][1])
    except OSError:
        return  # who joins it says what is wrong with it
    if (joined.st_dev, joined.st_ino) == (own.st_dev, own.st_ino):
        raise ConfigError(f"linux.sysctl has parameters of the {kind} namespace, and {path} is the host's own")


def _open(mount: Mount, propagation: int, spaces: UserNamespaces) -> int:
    try:
        fd = clone(mount.source, mount.options.bind == "rbind", propagation)
    except SyscallError as error:
        raise StepError(mount.name(), f"source {mount.source}", error.errno or 0) from error
    if mount.options.idmap:
        try:
            map_ids(mount, fd, spaces)
        except BaseException:
            os.close(fd)
            raise
    return fd


def lent(plan: Plan) -> list[Mount]:
    """The idmapped binds of what earlier mounts make, in a user namespace: it may not map ids, so the host's side does.

    The child lends the detached trees, in this order.
    """
    if not plan.user_namespace:
        return []
    return [mount for mount in plan.mounts if mount.what == "bind" and mount.inside and mount.options.idmap]


def map_lent(plan: Plan, channel: Channel) -> None:
    """On the host's side, while the child mounts. Raises StepError, or the child's error."""
    waiting = lent(plan)
    spaces = UserNamespaces()
    try:
        for mount in waiting:
            tree = channel.borrow()
            if tree < 0:
                return  # dead: who expects the next word says how
            try:
                map_ids(mount, tree, spaces)
            finally:
                os.close(tree)
            channel.go()
    finally:
        spaces.close()


def map_ids(mount: Mount, tree: int, spaces: UserNamespaces) -> None:
    """Let a detached tree show the ids that its mount's mappings say. Raises StepError."""
    recursive = AT_RECURSIVE if mount.options.idmap == "ridmap" else 0
    try:
        space = spaces.of(mount)
        mounts.mount_setattr(tree, "", AT_EMPTY_PATH | recursive, set_=mounts.MOUNT_ATTR_IDMAP, userns_fd=space)
    except OSError as error:
        hint = "its filesystem cannot be idmapped" if error.errno == _EINVAL else "cannot map its ids"
        raise StepError(mount.name(), f"source {mount.source}", error.errno or 0, hint) from error
