"""What this runtime, on this kernel, can do: the document of the specification's features.md and features-linux.md."""

import os

from ocicommon.linux import calls, capabilities, namespaces, scheduling
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.seccomp import constants, loader

from railcar import __version__
from railcar.rootfs.options import NAMES
from railcar.versions import SPEC_MINIMUM, SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
# Annotations of a configuration that reach beyond the container: whoever takes configurations from others filters them.
UNSAFE = ("org.systemd.property.",)
_EFAULT = 14
_SET_MODE_FILTER = 1


def known_namespaces() -> list[str]:
    """The namespace types that the kernel has, by the specification's names."""
    return sorted(name for name, (_, file) in namespaces.TYPES.items() if os.path.exists(f"/proc/self/ns/{file}"))


def known_capabilities() -> list[str]:
    """The capabilities that both the kernel and we know by name, in the order of their bits."""
    return list(capabilities.NAMES[: capabilities.last() + 1])


def supported_flags() -> list[str]:
    """The seccomp flags that the kernel takes: it reads the filter (EFAULT: there is none) only if it knows the
    flags."""
    found = []
    for name, flag in constants.FLAGS.items():
        tried = flag
        if flag == constants.FILTER_FLAG_WAIT_KILLABLE_RECV:
            tried |= constants.FILTER_FLAG_NEW_LISTENER
        try:
            calls.call("seccomp", _SET_MODE_FILTER, tried, 0)
        except SyscallError as error:
            if error.errno == _EFAULT:
                found.append(name)
    return found


def idmapped_mounts() -> bool:
    """Whether the kernel has mount_setattr(2), and with it idmapped mounts (5.12)."""
    try:
        calls.call("mount_setattr", -1, b"\0", 0, 0, 0)
    except SyscallError as error:
        return error.errno != constants.ENOSYS
    return True


def features() -> "dict[str, Any]":
    """The features document, as JSON types."""
    actions = [name for name, value in constants.ACTIONS.items() if loader.available(value)]
    return {
        "ociVersionMin": SPEC_MINIMUM,
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": list(NAMES),
        "linux": {
            "namespaces": known_namespaces(),
            "capabilities": known_capabilities(),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": bool(actions),
                "actions": sorted(actions),
                "operators": sorted(constants.OPERATORS),
                "archs": sorted(name for name, abi in constants.ARCHITECTURES.items() if abi),
                "knownFlags": sorted(constants.FLAGS),
                "supportedFlags": sorted(supported_flags()),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {
                "modes": sorted(scheduling.MEMORY_POLICIES),
                "flags": sorted(scheduling.MEMORY_FLAGS),
            },
            "mountExtensions": {"idmap": {"enabled": idmapped_mounts()}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"railcar.version": __version__},
        "potentiallyUnsafeConfigAnnotations": list(UNSAFE),
    }
