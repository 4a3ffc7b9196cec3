"""Device nodes for a user namespace, which may not make any: made on the host's side, on a tmpfs that is nobody else's.

A filesystem of the initial user namespace lets its devices be opened. The tmpfs is attached inside for as long as its
nodes are bound one by one to where the container has them.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts

from railcar.errors import StepError
from railcar.rootfs import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.rootfs.devices import Device

_EPERM = 1
_UNMAPPED = "the owner is not mapped in linux.uidMappings and gidMappings"


class Nodes:
    """A detached tmpfs, and the names of the nodes in it by their path in the container. ``fd`` is -1 without any."""

    __slots__ = ("fd", "names")

    def __init__(self) -> None:
        self.fd = -1
        self.names: dict[str, str] = {}

    def close(self) -> None:
        """Stage 1 needs it no more after the clone."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def make(devices: list[Device], owners: list[tuple[int, int]]) -> Nodes:
    """Make them; ``owners`` are their ids as the host counts. None, where this user may make no nodes. StepError."""
    found = Nodes()
    if not devices:
        return found
    context = mounts.fsopen("tmpfs")
    umask = os.umask(0)
    try:
        mounts.fsconfig_create(context)
        found.fd = mounts.fsmount(context)
        for index, (device, owner) in enumerate(zip(devices, owners, strict=True)):
            if -1 in owner:
                raise StepError("device", device.path, 22, _UNMAPPED)
            name = str(index)
            os.mknod(name, device.kind | device.mode, os.makedev(device.major, device.minor), dir_fd=found.fd)
            os.chown(name, *owner, dir_fd=found.fd, follow_symlinks=False)
            found.names[device.path] = name
    except OSError as error:
        found.close()
        if error.errno == _EPERM:
            return Nodes()
        raise StepError("devices", "", error.errno or 0) from None
    except BaseException:
        found.close()
        raise
    finally:
        os.umask(umask)
        os.close(context)
    return found


def bind(nodes: Nodes, root_fd: int) -> None:
    """Bind each node to its path in the root. Raises StepError, SyscallError."""
    if nodes.fd < 0:
        return
    # Only a tree in this mount namespace can be copied from; on / it hides nothing from who is below already.
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.attach(nodes.fd, place)
    os.close(place)
    for path, name in nodes.names.items():
        try:
            tree = mounts.clone_tree(name, nodes.fd, recursive=False)
            target = paths.make_file(root_fd, path)
            mounts.attach(tree, target)
        except OSError as error:
            raise StepError("device", path, error.errno or 0) from None
        os.close(tree)
        os.close(target)
    mounts.umount2(f"/proc/self/fd/{nodes.fd}", mounts.MNT_DETACH)
    nodes.close()
