"""Scheduling, I/O priority and memory policy of processes. sched_setattr(2), ioprio_set(2), set_mempolicy(2)."""

from __future__ import annotations

import struct

from ocicommon.linux.calls import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# The runtime specification's names, process.scheduler.policy and .flags; linux/sched.h.
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

# process.ioPriority.class; linux/ioprio.h.
IOPRIO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13

# linux.memoryPolicy.mode and .flags; linux/mempolicy.h.
MEMORY_POLICIES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}

_ATTRIBUTES = struct.Struct("IIQiIQQQ")


def sched_setattr(
    pid: int,
    policy: int,
    *,
    flags: int = 0,
    nice: int = 0,
    priority: int = 0,
    runtime: int = 0,
    deadline: int = 0,
    period: int = 0,
) -> None:
    """Set how a thread (0: this one) is scheduled; the last three in nanoseconds, for SCHED_DEADLINE."""
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, flags, nice, priority, runtime, deadline, period)
    call("sched_setattr", pid, attributes, 0, subject=f"of process {pid}")


def ioprio_set(pid: int, kind: int, level: int) -> None:
    """Set a thread's I/O class (``IOPRIO_CLASSES``) and level (0 to 7, the lower the sooner)."""
    call("ioprio_set", _IOPRIO_WHO_PROCESS, pid, kind << _IOPRIO_CLASS_SHIFT | level, subject=f"of process {pid}")


def set_mempolicy(mode: int, flags: int = 0, nodes: Iterable[int] = ()) -> None:
    """Set from which NUMA nodes this thread's memory comes; exec keeps it."""
    bits = 0
    for node in nodes:
        bits |= 1 << node
    size = (bits.bit_length() + 63) // 64 * 8
    # The kernel reads one bit less than it is told of.
    call("set_mempolicy", mode | flags, bits.to_bytes(size, "little") if bits else None, size * 8 + 1 if bits else 0)
