"""Capabilities as sets of bits in an int. capabilities(7), capset(2)."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import buffer, call
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.process import PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_CAPBSET_READ, prctl

# The index is the capability's bit; linux/capability.h.
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
_BITS = {name: index for index, name in enumerate(NAMES)}
_VERSION_3 = 0x20080522
_AMBIENT_IS_SET = 1
_AMBIENT_RAISE = 2
_AMBIENT_LOWER = 3
_AMBIENT_CLEAR_ALL = 4
_LOW = 0xFFFFFFFF


def bit(name: str) -> int:
    """The number of ``CAP_...``; KeyError for a name that does not exist."""
    return _BITS[name]


def mask(names: list[str] | tuple[str, ...]) -> int:
    """The set of these names; KeyError for a name that does not exist."""
    bits = 0
    for name in names:
        bits |= 1 << _BITS[name]
    return bits


def names(bits: int) -> list[str]:
    """The names in a set, by rising number; bits beyond the known are left out."""
    return [name for index, name in enumerate(NAMES) if bits >> index & 1]


def capget(pid: int = 0) -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of a process; 0 is this thread."""
    held = buffer(24)
    call("capget", buffer(struct.pack("Ii", _VERSION_3, pid)), held, subject=f"of process {pid}" if pid else "")
    low_e, low_p, low_i, high_e, high_p, high_i = struct.unpack("6I", held.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's sets; EPERM when one grows beyond what it may."""
    header, sets = capset_buffers(effective, permitted, inheritable)
    call("capset", header, sets)


def capset_buffers(effective: int, permitted: int, inheritable: int) -> tuple[bytes, bytes]:
    """The two structures of capset(2), for who makes the call without Python."""
    low = effective & _LOW, permitted & _LOW, inheritable & _LOW
    high = effective >> 32, permitted >> 32, inheritable >> 32
    return struct.pack("Ii", _VERSION_3, 0), struct.pack("6I", *low, *high)


def drop_bounding(number: int) -> None:
    """Take a capability out of the bounding set, for good."""
    prctl(PR_CAPBSET_DROP, number)


def in_bounding(number: int) -> bool:
    """Whether the bounding set has a capability; EINVAL when the kernel has no such one."""
    return prctl(PR_CAPBSET_READ, number) == 1


def ambient_clear() -> None:
    """Empty the ambient set."""
    prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)


def ambient_raise(number: int) -> None:
    """Add to the ambient set; EPERM unless permitted and inheritable have it."""
    prctl(PR_CAP_AMBIENT, _AMBIENT_RAISE, number)


def in_ambient(number: int) -> bool:
    """Whether the ambient set has a capability."""
    return prctl(PR_CAP_AMBIENT, _AMBIENT_IS_SET, number) == 1


def last() -> int:
    """The highest capability that the running kernel knows."""
    known = len(NAMES) - 1
    try:
        while known < 63:
            in_bounding(known + 1)
            known += 1
    except SyscallError:
        pass
    while known > 0:
        try:
            in_bounding(known)
            break
        except SyscallError:
            known -= 1
    return known
