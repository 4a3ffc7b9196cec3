"""A container's limits, and its org.systemd.property.* annotations, as properties of a systemd unit
(systemd.resource-control(5))."""

from railcar.cgroups.v2 import cpu_weight, io_weight, is_idle, swap_maximum
from railcar.cgroups.values import number, section, text
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Property = tuple[str, tuple[str, Any]]

INFINITY = (1 << 64) - 1
PREFIX = "org.systemd.property."
# What an annotation may set: nothing that makes systemd run a program or touch another unit. name -> D-Bus type
ALLOWED = {
    "CPUAccounting": "b",
    "CPUWeight": "t",
    "CollectMode": "s",
    "DefaultDependencies": "b",
    "Description": "s",
    "IOAccounting": "b",
    "IOWeight": "t",
    "IPAccounting": "b",
    "KillMode": "s",
    "KillSignal": "i",
    "ManagedOOMMemoryPressure": "s",
    "ManagedOOMPreference": "s",
    "ManagedOOMSwap": "s",
    "MemoryAccounting": "b",
    "MemoryHigh": "t",
    "MemoryLow": "t",
    "MemoryMax": "t",
    "MemoryMin": "t",
    "MemorySwapMax": "t",
    "OOMPolicy": "s",
    "RuntimeMaxUSec": "t",
    "SendSIGHUP": "b",
    "SendSIGKILL": "b",
    "StartupCPUWeight": "t",
    "StartupIOWeight": "t",
    "TasksAccounting": "b",
    "TasksMax": "t",
    "TimeoutStopUSec": "t",
}
# The v2 control files of one number that systemd has a property for. file -> property
UNIFIED = {
    "cpu.weight": "CPUWeight",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.max": "MemoryMax",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}
SETS = {"cpus": "AllowedCPUs", "mems": "AllowedMemoryNodes"}
# What may keep a container from starting where it is small, by the field that asks for it.
LATE = {
    "memory.limit": ("MemoryMax", "MemoryLimit", "MemorySwapMax"),
    "pids.limit": ("TasksMax",),
} | {"unified." + file: (UNIFIED[file],) for file in ("memory.high", "memory.max", "memory.swap.max", "pids.max")}


def _unlimited(value: int) -> int:
    return INFINITY if value < 0 else value


def _mask(listed: str, field: str) -> list[int]:
    """A list of numbers (``0-2,5``) as the bytes of a bit mask, lowest first."""
    mask = 0
    for part in listed.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) > 8192:
            raise RailcarError(f"linux.resources.cpu.{field} is {listed!r}: it must be a list like 0-2,5")
        for bit in range(int(first), int(last or first) + 1):
            mask |= 1 << bit
    return list(mask.to_bytes((mask.bit_length() + 7) // 8 or 1, "little"))


def limits(resources: "dict[str, Any]", mode: str) -> "list[Property]":
    """The properties for a linux.resources object; what systemd has no property for is written to the group
    afterwards."""
    result: list[Property] = []
    memory = section(resources, "memory", "linux.resources.memory")
    cpu = section(resources, "cpu", "linux.resources.cpu")
    block = section(resources, "blockIO", "linux.resources.blockIO")
    where = "linux.resources."
    limit = number(memory, "limit", where + "memory")
    if limit:
        result.append(("MemoryMax" if mode == "v2" else "MemoryLimit", ("t", _unlimited(limit))))
    shares = number(cpu, "shares", where + "cpu")
    if mode == "v2":
        reservation, swap = number(memory, "reservation", where + "memory"), number(memory, "swap", where + "memory")
        if reservation:
            result.append(("MemoryLow", ("t", _unlimited(reservation))))
        if limit == -1 and swap is None:
            swap = -1
        if swap and (swap < 0 or limit):
            value = swap_maximum(swap, limit)
            result.append(("MemorySwapMax", ("t", INFINITY if value == "max" else int(value))))
        if shares and number(cpu, "idle", where + "cpu") != 1:
            result.append(("CPUWeight", ("t", cpu_weight(shares))))
    elif shares:
        result.append(("CPUShares", ("t", shares)))
    result += _bandwidth(number(cpu, "quota", where + "cpu"), number(cpu, "period", where + "cpu"))
    if mode == "v2":
        for key, name in SETS.items():
            listed = text(cpu, key, where + "cpu")
            if listed:
                result.append((name, ("ay", _mask(listed, key))))
    weight = number(block, "weight", where + "blockIO")
    if weight:
        result.append(("IOWeight", ("t", io_weight(weight))) if mode == "v2" else ("BlockIOWeight", ("t", weight)))
    tasks = number(section(resources, "pids", where + "pids"), "limit", where + "pids")
    if tasks is not None:
        result.append(("TasksMax", ("t", _unlimited(tasks) if tasks else 1)))
    if mode == "v2":
        # These are written last to the group as well.
        result = list((dict(result) | dict(unified(section(resources, "unified", "linux.resources.unified")))).items())
    return result


def unified(files: "dict[str, str]") -> "list[Property]":
    """The properties that stand for control files of linux.resources.unified; the kernel alone judges the others."""
    result: list[Property] = []
    for file, words in files.items():
        found = words.split()
        if file == "cpu.weight" and is_idle(files):
            continue
        if file in UNIFIED and found == ["max"]:
            result.append((UNIFIED[file], ("t", INFINITY)))
        elif file in UNIFIED and len(found) == 1 and found[0].isdecimal() and int(found[0]) <= INFINITY:
            result.append((UNIFIED[file], ("t", int(found[0]))))
        elif file == "cpu.max" and found and all(word.isdecimal() for word in found if word != "max"):
            quota = -1 if found[0] == "max" else int(found[0])
            result += _bandwidth(quota, int(found[1]) if len(found) > 1 else None)
        elif file in ("cpuset.cpus", "cpuset.mems") and found:
            key = file.removeprefix("cpuset.")
            result.append((SETS[key], ("ay", _mask(words.strip(), key))))
    return result


def rate(quota: int, period: int) -> int:
    """Microseconds of CPU time per second, in steps of 10 ms, which systemd rounds to, and upwards, so that the limit
    is not under the asked."""
    per_second = quota * 1_000_000 // period
    return min(per_second + -per_second % 10_000, INFINITY)


def _bandwidth(quota: int | None, period: int | None) -> "list[Property]":
    if not quota and not period:
        return []
    result: list[Property] = []
    if period:
        result.append(("CPUQuotaPeriodUSec", ("t", period)))
    per_second = rate(quota, period or 100_000) if quota and quota > 0 else INFINITY
    result.append(("CPUQuotaPerSecUSec", ("t", per_second)))
    return result


def value(words: str, kind: str) -> "Any":
    """An annotation's value: GVariant text of one simple type, as ``uint64 5``, ``'inactive'`` or ``true``."""
    words = words.strip()
    for name in ("uint64", "uint32", "uint16", "int64", "int32", "int16", "byte", "string", "boolean", "double"):
        if words.startswith(name + " "):
            words = words[len(name) :].strip()
            break
    if kind == "s":
        if len(words) >= 2 and words[0] == words[-1] and words[0] in "'\"" and words[0] not in words[1:-1]:
            return words[1:-1]
        raise ValueError
    if kind == "b":
        return {"true": True, "false": False}[words]
    if not words.removeprefix("-").isdigit() or not words.isascii():
        raise ValueError
    found = int(words)
    if not (-(1 << 31) <= found < 1 << 31 if kind == "i" else 0 <= found <= INFINITY):
        raise ValueError
    return found


def annotations(given: "dict[str, str]") -> "list[Property]":
    """The properties that annotations ask for. Raises RailcarError for one that is not on the list of harmless ones."""
    result: list[Property] = []
    for key, words in given.items():
        if not key.startswith(PREFIX):
            continue
        name, factor = key[len(PREFIX) :], 1
        if name not in ALLOWED and name.endswith("Sec") and name[:-3] + "USec" in ALLOWED:
            name, factor = name[:-3] + "USec", 1_000_000
        if name not in ALLOWED:
            raise RailcarError(
                f"annotation {key}: a container may not set this property of its unit; it may set "
                f"{', '.join(sorted(ALLOWED))}"
            )
        kind = ALLOWED[name]
        try:
            found = value(words, kind)
        except (ValueError, KeyError):
            example = {"s": "'text'", "b": "true", "t": "uint64 5", "i": "5"}[kind]
            raise RailcarError(f"annotation {key} is {words!r}: it must be a value like {example}") from None
        result.append((name, (kind, found * factor if factor > 1 else found)))
    return result
