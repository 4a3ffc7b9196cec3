"""linux.maskedPaths and linux.readonlyPaths: what is covered, and what is locked, in a finished root."""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_EMPTY_PATH
from ocicommon.linux.errors import SyscallError

from railcar.errors import StepError
from railcar.rootfs import devices, legacy, paths

_MISSING = (2, 20)  # ENOENT, ENOTDIR
_EMPTY = mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC


def mask(root_fd: int, masked: list[str], modern: bool, label: str) -> None:
    """Cover files with the null device and directories with one empty read-only tmpfs; what is missing needs none.

    Runs before the old root is left: the null device is the host's. Raises StepError.
    """
    if not masked:
        return
    null = devices.open_null()
    empty = -1
    try:
        for path in masked:
            target = _open(root_fd, path, "mask")
            if target < 0:
                continue
            try:
                if not modern:
                    legacy.mask(target, null, label)
                elif not paths.is_directory(target):
                    _attach(mounts.clone_tree("", null, recursive=False, empty=True), target)
                elif empty < 0:
                    empty = _empty_directory(label)
                    mounts.attach(empty, target)
                else:
                    _attach(mounts.clone_tree("", empty, recursive=False, empty=True), target)
            except OSError as error:
                raise StepError("mask", path, error.errno or 0) from error
            finally:
                os.close(target)
    finally:
        os.close(null)
        if empty >= 0:
            os.close(empty)


def _attach(tree: int, target: int) -> None:
    try:
        mounts.attach(tree, target)
    finally:
        os.close(tree)


def _open(root_fd: int, path: str, step: str) -> int:
    try:
        return paths.resolve(root_fd, path)
    except SyscallError as error:
        if error.errno in _MISSING:
            return -1
        raise StepError(step, path, error.errno or 0) from error


def _empty_directory(label: str) -> int:
    context = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_set_string(context, "source", "tmpfs")
        mounts.fsconfig_set_string(context, "nr_blocks", "1")
        mounts.fsconfig_set_string(context, "nr_inodes", "1")
        if label:
            mounts.fsconfig_set_string(context, "context", label)
        mounts.fsconfig_set_flag(context, "ro")
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, mounts.FSMOUNT_CLOEXEC, _EMPTY)
    finally:
        os.close(context)


def make_readonly(root_fd: int, wanted: list[str], modern: bool) -> None:
    """Put a read-only copy of each path over itself, with what is mounted below; what is missing is left out."""
    for path in wanted:
        target = _open(root_fd, path, "read-only path")
        if target < 0:
            continue
        try:
            if not modern:
                legacy.make_readonly(target, root_fd, path)
                continue
            tree = mounts.clone_tree("", target, empty=True)
            try:
                mounts.mount_setattr(tree, "", AT_EMPTY_PATH, set_=mounts.MOUNT_ATTR_RDONLY)
                mounts.attach(tree, target)
            finally:
                os.close(tree)
        except OSError as error:
            raise StepError("read-only path", path, error.errno or 0) from error
        finally:
            os.close(target)
