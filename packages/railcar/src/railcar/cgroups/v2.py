"""linux.resources as writes to the files of cgroup v2, with the conversions that the change of units asks for."""

from railcar.cgroups.v1 import rdma
from railcar.cgroups.values import Write, device, is_small, items, number, one, page_size, section, tasks, text
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNIFIED = "unified"
# fields of cgroup v1 that have no counterpart
ABSENT = (
    ("memory", "kernel"),
    ("memory", "kernelTCP"),
    ("memory", "swappiness"),
    ("memory", "disableOOMKiller"),
    ("memory", "useHierarchy"),
    ("cpu", "realtimeRuntime"),
    ("cpu", "realtimePeriod"),
    ("blockIO", "leafWeight"),
    ("network", "classID"),
    ("network", "priorities"),
)
THROTTLES = (
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1..10000) for cpu.shares (2..262144): the curve through minimum, default (1024 -> 100) and
    maximum."""
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    logarithm = log2(shares)
    return ceil(10 ** ((logarithm * logarithm + 125 * logarithm) / 612.0 - 7.0 / 34.0))


def io_weight(weight: int) -> int:
    """io.weight (1..10000) for a blkio weight (10..1000)."""
    return 1 + (weight - 10) * 9999 // 990


def swap_maximum(swap: int, limit: int | None) -> str:
    """memory.swap.max for memory.swap, which counts memory and swap together (bytes; -1 is no limit)."""
    if swap < 0:
        return "max"
    if limit is None or limit < 0:
        raise RailcarError(
            f"linux.resources.memory.swap is {swap}, which means nothing without memory.limit on cgroup v2"
        )
    if swap < limit:
        raise RailcarError(
            f"linux.resources.memory.swap is {swap}, and counts memory too: it must be at least limit, {limit}"
        )
    return str(swap - limit)


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


def writes(resources: "dict[str, Any]", known_limit: int | None = None) -> list[Write]:
    """The writes for a linux.resources object (without devices).

    ``known_limit`` is the group's memory limit in bytes, for an update that gives swap alone.
    """
    result: list[Write] = []
    _memory(section(resources, "memory", "linux.resources.memory"), known_limit, result)
    _cpu(section(resources, "cpu", "linux.resources.cpu"), result)
    _block(section(resources, "blockIO", "linux.resources.blockIO"), result)
    for entry in items(resources, "hugepageLimits", "linux.resources.hugepageLimits"):
        size = page_size(entry, "linux.resources.hugepageLimits")
        limit = number(entry, "limit", "linux.resources.hugepageLimits")
        if limit is not None:
            result.append(one(UNIFIED, f"hugetlb.{size}.max", limit, "hugepageLimits"))
            result.append(one(UNIFIED, f"hugetlb.{size}.rsvd.max", limit, "hugepageLimits", optional=True))
    limit = number(section(resources, "pids", "linux.resources.pids"), "limit", "linux.resources.pids")
    if limit is not None:
        result.append(one(UNIFIED, "pids.max", tasks(limit), "pids.limit", late=True))
    rdma(resources, UNIFIED, result)
    unified = section(resources, "unified", "linux.resources.unified")
    for file, value in unified.items():
        if "/" in file or "\0" in file or not isinstance(value, str) or "." not in file:
            raise RailcarError(
                f"linux.resources.unified: {file!r} with value {value!r} is no control file with a string"
            )
        if file == "cpu.weight" and is_idle(unified):
            continue
        # Files with a line per device take one line in each write.
        for line in value.split("\n"):
            if line or not value:
                late = file in ("memory.max", "memory.high", "pids.max", "memory.swap.max")
                result.append(one(UNIFIED, file, line, "unified." + file, late=late))
    return result


def is_idle(unified: "dict[str, Any]") -> bool:
    """Whether linux.resources.unified makes the group idle: then it has no weight."""
    return str(unified.get("cpu.idle", "")).strip() == "1"


def _memory(memory: "dict[str, Any]", known_limit: int | None, result: list[Write]) -> None:
    where = "linux.resources.memory"
    limit, swap = number(memory, "limit", where) or None, number(memory, "swap", where) or None
    reservation = number(memory, "reservation", where) or None
    small = is_small(limit)
    if swap is None and limit == -1:
        swap = -1
    if swap is not None:
        value = swap_maximum(swap, known_limit if limit is None else limit)
        optional = value in ("max", "0")
        result.append(one(UNIFIED, "memory.swap.max", value, "memory.swap", optional, small))
    if limit is not None:
        result.append(one(UNIFIED, "memory.max", _limit(limit), "memory.limit", late=small))
    if reservation is not None:
        result.append(one(UNIFIED, "memory.low", _limit(reservation), "memory.reservation"))


def _cpu(cpu: "dict[str, Any]", result: list[Write]) -> None:
    where = "linux.resources.cpu"
    idle, shares = number(cpu, "idle", where), number(cpu, "shares", where)
    if idle is not None:
        result.append(one(UNIFIED, "cpu.idle", idle, "cpu.idle"))
    # An idle group has no weight: the kernel refuses one.
    if shares and idle != 1:
        result.append(one(UNIFIED, "cpu.weight", cpu_weight(shares), "cpu.shares"))
    quota, period = number(cpu, "quota", where) or None, number(cpu, "period", where) or None
    if quota is not None or period is not None:
        # "max" and the period, or the quota alone, which keeps the period that the group has
        value = "max" if quota is None or quota < 0 else str(quota)
        result.append(one(UNIFIED, "cpu.max", f"{value} {period}" if period else value, "cpu.quota"))
    burst = number(cpu, "burst", where)
    if burst is not None:
        result.append(one(UNIFIED, "cpu.max.burst", burst, "cpu.burst"))
    for key in ("cpus", "mems"):
        listed = text(cpu, key, where)
        if listed is not None:
            result.append(one(UNIFIED, "cpuset." + key, listed, "cpu." + key))


def _block(block: "dict[str, Any]", result: list[Write]) -> None:
    where = "linux.resources.blockIO"
    weight = number(block, "weight", where)
    if weight:
        choices = (("io.bfq.weight", str(weight)), ("io.weight", f"default {io_weight(weight)}"))
        result.append(Write(UNIFIED, choices, "blockIO.weight"))
    for entry in items(block, "weightDevice", where + ".weightDevice"):
        weight = number(entry, "weight", where + ".weightDevice")
        if weight:
            name = device(entry, where + ".weightDevice")
            choices = (("io.bfq.weight", f"{name} {weight}"), ("io.weight", f"{name} {io_weight(weight)}"))
            result.append(Write(UNIFIED, choices, "blockIO.weightDevice"))
    for key, word in THROTTLES:
        for entry in items(block, key, f"{where}.{key}"):
            rate = number(entry, "rate", f"{where}.{key}")
            value = f"{device(entry, f'{where}.{key}')} {word}={rate or 'max'}"
            result.append(one(UNIFIED, "io.max", value, "blockIO." + key))


def warnings(resources: "dict[str, Any]") -> list[str]:
    """A sentence for each given field that cgroup v2 has no file for."""
    result = []
    for part, key in ABSENT:
        field = "linux.resources." + part
        value = section(resources, part, field).get(key)
        if value and not (isinstance(value, int) and value < 0):
            result.append(f"{field}.{key} is {value!r}, and has no counterpart on cgroup v2: it has no effect")
    cpu, unified = (section(resources, part, f"linux.resources.{part}") for part in ("cpu", "unified"))
    if (cpu.get("idle") == 1 and cpu.get("shares")) or (is_idle(unified) and "cpu.weight" in unified):
        result.append("linux.resources: unable to apply both a weight and idleness: an idle group has no weight")
    return result
