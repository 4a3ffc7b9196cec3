"""linux.sysctl: which names belong to a namespace (decided), and their writing through a trusted procfs (done)."""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.files import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)

from railcar.errors import ConfigError, StepError
from railcar.rootfs import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_IPC = frozenset(
    (
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    )
)
_EXDEV = 18

# The namespaces that have parameters of their own.
KINDS = ("ipc", "network", "uts", "user")


def as_path(key: str) -> str:
    """``net.ipv4.ip_forward`` as a path below /proc/sys. The first separator decides, as in sysctl.d(5).

    ``net.ipv4.conf.eth0/1.forwarding`` and ``net/ipv4/conf/eth0.1/forwarding`` are the same.
    """
    for character in key:
        if character == "/":
            return key
        if character == ".":
            return "".join("/" if c == "." else "." if c == "/" else c for c in key)
    return key


def checked(wanted: Mapping[str, object], namespaces: Mapping[str, str], hostname: str) -> list[tuple[str, str, str]]:
    """(name, path below /proc/sys, value) of each; raises ConfigError for one that would change the host.

    ``namespaces``: type -> path ("" for a new one) as in linux.namespaces.
    """
    result = []
    for key, value in wanted.items():
        path = as_path(key)
        parts = path.split("/")
        if "" in parts or "." in parts or ".." in parts or "\0" in path:
            raise ConfigError(f"linux.sysctl: {key!r} is not the name of a kernel parameter")
        if not isinstance(value, str):
            raise ConfigError(f"linux.sysctl.{key}: the value {value!r} must be a string")
        needed = _namespace(path, parts)
        if needed is None:
            raise ConfigError(f'linux.sysctl: sysctl "{key}" is not in a separate kernel namespace')
        if path == "kernel/hostname" and hostname:
            raise ConfigError(
                f'linux.sysctl: sysctl "{key}" is not allowed as it conflicts with the OCI "hostname" field'
            )
        if needed not in namespaces:
            raise ConfigError(
                f'linux.sysctl: sysctl "{key}" is not allowed in the host\'s {needed} namespace;'
                f' add a "{needed}" namespace to linux.namespaces'
            )
        result.append((key, path, value))
    return result


def _namespace(path: str, parts: list[str]) -> str | None:
    if path in _IPC or path.startswith("fs/mqueue/"):
        return "ipc"
    if parts[0] == "net" and len(parts) > 1:
        return "network"
    if path in ("kernel/hostname", "kernel/domainname"):
        return "uts"
    if parts[0] == "user" and len(parts) > 1:
        return "user"
    return None


def trusted_proc() -> int:
    """A procfs that no mount of an image or a neighbour can have changed: a private one, else a look at the host's.

    Must be called before the host's root is left.
    """
    try:
        context = mounts.fsopen("proc")
    except SyscallError:
        return _host_proc()
    try:
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, mounts.FSMOUNT_CLOEXEC, 0)
    except SyscallError:
        return _host_proc()
    finally:
        os.close(context)


def _host_proc() -> int:
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not paths.is_procfs(fd):
        os.close(fd)
        raise StepError("procfs", "/proc", hint="the host's is not a proc filesystem")
    return fd


def write(proc_fd: int, parameters: list[tuple[str, str, str]]) -> None:
    """Set each parameter, through a descriptor from ``trusted_proc``. Raises StepError."""
    how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
    for key, path, value in parameters:
        try:
            fd = openat2(proc_fd, "sys/" + path, os.O_WRONLY, 0, how)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            hint = f"cannot be set to {value!r}"
            if error.errno == _EXDEV:
                hint = "something is mounted over it"
            raise StepError("sysctl", key, error.errno or 0, hint) from error
