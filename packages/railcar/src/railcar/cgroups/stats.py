"""The figures of a group, in the shape of ``runc events --stats``: bytes, nanoseconds and counts."""

import os

from railcar.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group

# What the kernel of v1 shows as "no limit" is the largest multiple of a page; v2 says "max", for which 2^64 - 1 stands.
UNLIMITED = (1 << 64) - 1
# ticks of /proc and of cpuacct.stat are 1/100 s on Linux, whatever the kernel's own HZ
NANOSECONDS_PER_TICK = 10_000_000
CPUSET = (
    ("cpus", "cpuset.cpus"),
    ("cpu_exclusive", "cpuset.cpu_exclusive"),
    ("mems", "cpuset.mems"),
    ("mem_hardwall", "cpuset.mem_hardwall"),
    ("mem_exclusive", "cpuset.mem_exclusive"),
    ("memory_migrate", "cpuset.memory_migrate"),
    ("memory_spread_page", "cpuset.memory_spread_page"),
    ("memory_spread_slab", "cpuset.memory_spread_slab"),
    ("memory_pressure", "cpuset.memory_pressure"),
    ("sched_load_balance", "cpuset.sched_load_balance"),
    ("sched_relax_domain_level", "cpuset.sched_relax_domain_level"),
)
BLKIO = (
    ("ioServiceBytesRecursive", "io_service_bytes_recursive"),
    ("ioServicedRecursive", "io_serviced_recursive"),
    ("ioQueueRecursive", "io_queued_recursive"),
    ("ioServiceTimeRecursive", "io_service_time_recursive"),
    ("ioWaitTimeRecursive", "io_wait_time_recursive"),
    ("ioMergedRecursive", "io_merged_recursive"),
    ("ioTimeRecursive", "time_recursive"),
    ("sectorsRecursive", "sectors_recursive"),
)


def number(path: str) -> int:
    """A control file with one number; ``max`` is UNLIMITED, and a file that is not there is 0."""
    text = files.read_or(path, "0").strip()
    if text == "max":
        return UNLIMITED
    try:
        return int(text)
    except ValueError:
        return 0


def table(path: str) -> dict[str, int]:
    """A control file of ``name number`` lines."""
    result: dict[str, int] = {}
    for line in files.read_or(path, "").splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            result[name] = int(value)
    return result


def span(text: str) -> list[int]:
    """``0-2,5`` as numbers."""
    result: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            result += range(int(first), int(last or first) + 1)
    return result


def stats(group: "Group") -> "dict[str, Any]":
    """All figures of a group; a controller that is absent has empty or zero ones."""
    return unified(group.paths["unified"]) if group.mode == "v2" and "unified" in group.paths else legacy(group.paths)


def legacy(paths: dict[str, str]) -> "dict[str, Any]":
    """cgroup v1."""
    cpu, cpuacct = paths.get("cpu", ""), paths.get("cpuacct", "")
    throttled = table(cpu + "/cpu.stat")
    ticks = table(cpuacct + "/cpuacct.stat")
    percpu = [line.split() for line in files.read_or(cpuacct + "/cpuacct.usage_all", "").splitlines()[1:]]
    memory = paths.get("memory", "")
    raw = table(memory + "/memory.stat")
    pids = paths.get("pids", "")
    return {
        "cpu": {
            "usage": {
                "total": number(cpuacct + "/cpuacct.usage"),
                "percpu": [int(word) for word in files.read_or(cpuacct + "/cpuacct.usage_percpu", "").split()],
                "percpu_kernel": [int(line[2]) for line in percpu],
                "percpu_user": [int(line[1]) for line in percpu],
                "kernel": ticks.get("system", 0) * NANOSECONDS_PER_TICK,
                "user": ticks.get("user", 0) * NANOSECONDS_PER_TICK,
            },
            "throttling": throttling(throttled, throttled.get("throttled_time", 0)),
        },
        "cpuset": cpuset(paths.get("cpuset", "")),
        "memory": {
            "cache": raw.get("cache", 0),
            "usage": memory_entry(memory, "memory."),
            "swap": memory_entry(memory, "memory.memsw."),
            "kernel": memory_entry(memory, "memory.kmem."),
            "kernelTCP": memory_entry(memory, "memory.kmem.tcp."),
            "raw": raw,
        },
        "pids": pids_entry(pids),
        "blkio": blkio(paths.get("blkio", "")),
        "hugetlb": hugetlb(paths.get("hugetlb", ""), "limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes"),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def throttling(values: dict[str, int], nanoseconds: int) -> dict[str, int]:
    """Periods, throttled periods and throttled time (ns); a zero is left out."""
    found = (
        ("periods", values.get("nr_periods", 0)),
        ("throttledPeriods", values.get("nr_throttled", 0)),
        ("throttledTime", nanoseconds),
    )
    return {key: value for key, value in found if value}


def memory_entry(directory: str, prefix: str) -> dict[str, int]:
    """Limit, usage and peak in bytes, and how often the limit was hit."""
    entry = {"limit": number(f"{directory}/{prefix}limit_in_bytes")}
    for key, file in (("usage", "usage_in_bytes"), ("max", "max_usage_in_bytes")):
        value = number(f"{directory}/{prefix}{file}")
        if value:
            entry[key] = value
    entry["failcnt"] = number(f"{directory}/{prefix}failcnt")
    return entry


def pids_entry(directory: str) -> dict[str, int]:
    """Present number of tasks, and the limit if there is one."""
    limit = number(directory + "/pids.max")
    entry = {"current": number(directory + "/pids.current")}
    if 0 < limit < UNLIMITED:
        entry["limit"] = limit
    return entry


def cpuset(directory: str) -> "dict[str, Any]":
    """CPUs and memory nodes as lists, and the flags of v1."""
    result: dict[str, Any] = {}
    for key, file in CPUSET:
        text = files.read_or(f"{directory}/{file}", "").strip()
        if text:
            result[key] = span(text) if key in ("cpus", "mems") else int(text)
    return result


def blkio(directory: str) -> "dict[str, Any]":
    """Lists of {major, minor, op, value}: of bfq if it counts, else of the throttling layer."""
    result: dict[str, Any] = {}
    for key, file in BLKIO:
        for prefix in ("blkio.bfq.", "blkio.", "blkio.throttle."):
            entries = []
            for line in files.read_or(f"{directory}/{prefix}{file}", "").splitlines():
                words = line.replace(":", " ").split()
                if len(words) in (3, 4) and words[0].isdigit():
                    major, minor, *operation, value = words
                    entries.append(
                        {
                            "major": int(major),
                            "minor": int(minor),
                            "op": operation[0] if operation else "",
                            "value": int(value),
                        }
                    )
            if entries:
                result[key] = entries
                break
    return result


def hugetlb(directory: str, limit: str, usage: str, peak: str) -> "dict[str, Any]":
    """page size -> {usage, max, failcnt} in bytes."""
    result: dict[str, Any] = {}
    try:
        names = os.listdir(directory) if directory else []
    except OSError:
        return result
    for name in sorted(names):
        if name.startswith("hugetlb.") and name.endswith("." + limit) and ".rsvd." not in name:
            prefix = f"{directory}/{name.removesuffix(limit)}"
            entry = {
                "usage": number(prefix + usage),
                "max": number(prefix + peak),
                "failcnt": number(prefix + "failcnt"),
            }
            result[name.split(".")[1]] = {key: value for key, value in entry.items() if value or key == "failcnt"}
    return result


def unified(directory: str) -> "dict[str, Any]":
    """cgroup v2, under the names of v1's figures as far as they mean the same."""
    cpu = table(directory + "/cpu.stat")
    raw = table(directory + "/memory.stat")
    usage, swap = number(directory + "/memory.current"), number(directory + "/memory.swap.current")
    limit, swap_limit = number(directory + "/memory.max"), number(directory + "/memory.swap.max")
    events = table(directory + "/memory.events")
    result: dict[str, Any] = {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_usec", 0) * 1000,
                "kernel": cpu.get("system_usec", 0) * 1000,
                "user": cpu.get("user_usec", 0) * 1000,
            },
            "throttling": throttling(cpu, cpu.get("throttled_usec", 0) * 1000),
        },
        "cpuset": {
            "cpus": span(files.read_or(directory + "/cpuset.cpus.effective", "")),
            "mems": span(files.read_or(directory + "/cpuset.mems.effective", "")),
        },
        "memory": {
            "cache": raw.get("file", 0),
            "usage": {
                "limit": limit,
                "usage": usage,
                "max": number(directory + "/memory.peak"),
                "failcnt": events.get("max", 0),
            },
            "swap": {
                "limit": UNLIMITED if UNLIMITED in (limit, swap_limit) else limit + swap_limit,
                "usage": usage + swap,
                "failcnt": 0,
            },
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
            "raw": raw,
        },
        "pids": pids_entry(directory),
        "blkio": unified_blkio(directory),
        "hugetlb": hugetlb(directory, "max", "current", "peak"),
        "intel_rdt": {},
        "network_interfaces": None,
    }
    for resource in ("cpu", "memory", "io"):
        pressure = psi(f"{directory}/{resource}.pressure")
        if pressure:
            result["blkio" if resource == "io" else resource]["psi"] = pressure
    return result


def unified_blkio(directory: str) -> "dict[str, Any]":
    """io.stat as v1's lists."""
    service: list[dict[str, Any]] = []
    serviced: list[dict[str, Any]] = []
    for line in files.read_or(directory + "/io.stat", "").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in ("rbytes", "wbytes", "rios", "wios"):
                operation = "Read" if key[0] == "r" else "Write"
                entry = {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}
                (service if key.endswith("bytes") else serviced).append(entry)
    result: dict[str, Any] = {}
    if service:
        result["ioServiceBytesRecursive"] = service
    if serviced:
        result["ioServicedRecursive"] = serviced
    return result


def psi(path: str) -> "dict[str, dict[str, float]]":
    """Pressure: the shares (percent) of 10, 60 and 300 s, and the total (microseconds), for some and for full."""
    result: dict[str, dict[str, float]] = {}
    for line in files.read_or(path, "").splitlines():
        kind, *pairs = line.split()
        result[kind] = {}
        for pair in pairs:
            key, _, value = pair.partition("=")
            result[kind][key] = float(value) if "." in value else int(value)
    return result
