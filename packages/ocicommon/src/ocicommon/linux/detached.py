"""A file to execute where vm.memfd_noexec forbids files in memory: on a tmpfs that is mounted nowhere."""

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_EMPTY_PATH


def file_on_tmpfs(data: bytes) -> int:
    """A descriptor of a file with this content on a detached tmpfs, read-only by then; close-on-exec."""
    context = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_set_string(context, "mode", "0700")
        mounts.fsconfig_create(context)
        root = mounts.fsmount(context)
    finally:
        os.close(context)
    try:
        writing = os.open("program", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o555, dir_fd=root)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(writing, view) :]
        finally:
            os.close(writing)
        mounts.mount_setattr(root, "", AT_EMPTY_PATH, mounts.MOUNT_ATTR_RDONLY, 0, 0)
        return os.open("program", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
    finally:
        os.close(root)
