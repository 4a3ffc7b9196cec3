"""linux.resources as writes to the files of cgroup v1: a table, and the few fields that need more than a table."""

from railcar.cgroups.values import Write, device, flag, is_small, items, number, one, page_size, section, tasks, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# section, key, controller, file: numbers that are written as they stand
NUMBERS = (
    ("memory", "limit", "memory", "memory.limit_in_bytes"),
    ("memory", "swap", "memory", "memory.memsw.limit_in_bytes"),
    ("memory", "reservation", "memory", "memory.soft_limit_in_bytes"),
    ("memory", "kernel", "memory", "memory.kmem.limit_in_bytes"),
    ("memory", "kernelTCP", "memory", "memory.kmem.tcp.limit_in_bytes"),
    ("memory", "swappiness", "memory", "memory.swappiness"),
    ("cpu", "shares", "cpu", "cpu.shares"),
    ("cpu", "period", "cpu", "cpu.cfs_period_us"),
    ("cpu", "quota", "cpu", "cpu.cfs_quota_us"),
    ("cpu", "burst", "cpu", "cpu.cfs_burst_us"),
    ("cpu", "realtimePeriod", "cpu", "cpu.rt_period_us"),
    ("cpu", "realtimeRuntime", "cpu", "cpu.rt_runtime_us"),
    ("cpu", "idle", "cpu", "cpu.idle"),
    ("network", "classID", "net_cls", "net_cls.classid"),
)
# 0 in these means "leave it as it is": engines send it for values that nobody asked for
ZERO_IS_UNSET = ("limit", "swap", "reservation", "kernel", "kernelTCP", "shares", "period", "quota", "realtimePeriod")
# files that older or newer kernels lack, and that -1 (no limit) does not need
LIMITLESS = ("swap", "kernel", "kernelTCP")
THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
)


def writes(resources: "dict[str, Any]") -> list[Write]:
    """The writes for a linux.resources object (without devices), in the order in which a fresh group takes them."""
    result: list[Write] = []
    memory = section(resources, "memory", "linux.resources.memory")
    small = is_small(number(memory, "limit", "linux.resources.memory") or None)
    hierarchy = flag(memory, "useHierarchy", "linux.resources.memory")
    if hierarchy is not None:
        # Kernels since 5.11 know hierarchical accounting only: a group can ask for the flat kind, and not get it.
        result.append(one("memory", "memory.use_hierarchy", int(hierarchy), "memory.useHierarchy", optional=True))
    for part, key, controller, file in NUMBERS:
        field = "linux.resources." + part
        value = number(section(resources, part, field), key, field)
        if value is None or (value == 0 and key in ZERO_IS_UNSET):
            continue
        optional = value < 0 and key in LIMITLESS
        late = part == "memory" and small and key in ("limit", "swap", "kernel")
        result.append(one(controller, file, value, f"{part}.{key}", optional, late))
    if memory.get("limit") == -1 and not memory.get("swap"):
        # A limit for memory and swap that stays would forbid to lift the one for memory.
        result.append(one("memory", "memory.memsw.limit_in_bytes", -1, "memory.limit", optional=True))
    if flag(memory, "disableOOMKiller", "linux.resources.memory"):
        result.append(one("memory", "memory.oom_control", 1, "memory.disableOOMKiller"))
    cpu = section(resources, "cpu", "linux.resources.cpu")
    for key in ("cpus", "mems"):
        listed = text(cpu, key, "linux.resources.cpu")
        if listed is not None:
            result.append(one("cpuset", "cpuset." + key, listed, "cpu." + key))
    _block(section(resources, "blockIO", "linux.resources.blockIO"), result)
    for entry in items(resources, "hugepageLimits", "linux.resources.hugepageLimits"):
        size = page_size(entry, "linux.resources.hugepageLimits")
        limit = number(entry, "limit", "linux.resources.hugepageLimits")
        if limit is not None:
            result.append(one("hugetlb", f"hugetlb.{size}.limit_in_bytes", limit, "hugepageLimits"))
            result.append(one("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes", limit, "hugepageLimits", optional=True))
    network = section(resources, "network", "linux.resources.network")
    for entry in items(network, "priorities", "linux.resources.network.priorities"):
        name = text(entry, "name", "linux.resources.network.priorities")
        priority = number(entry, "priority", "linux.resources.network.priorities")
        result.append(one("net_prio", "net_prio.ifpriomap", f"{name} {priority}", "network.priorities"))
    limit = number(section(resources, "pids", "linux.resources.pids"), "limit", "linux.resources.pids")
    if limit is not None:
        result.append(one("pids", "pids.max", tasks(limit), "pids.limit", late=True))
    rdma(resources, "rdma", result)
    return result


def _block(block: "dict[str, Any]", result: list[Write]) -> None:
    where = "linux.resources.blockIO"
    weight, leaf = number(block, "weight", where), number(block, "leafWeight", where)
    if weight:
        choices = (("blkio.bfq.weight", str(weight)), ("blkio.weight", str(weight)))
        result.append(Write("blkio", choices, "blockIO.weight"))
    if leaf:
        result.append(one("blkio", "blkio.leaf_weight", leaf, "blockIO.leafWeight"))
    for entry in items(block, "weightDevice", where + ".weightDevice"):
        name = device(entry, where + ".weightDevice")
        weight, leaf = number(entry, "weight", where), number(entry, "leafWeight", where)
        if weight:
            value = f"{name} {weight}"
            choices = (("blkio.bfq.weight_device", value), ("blkio.weight_device", value))
            result.append(Write("blkio", choices, "blockIO.weightDevice"))
        if leaf:
            result.append(one("blkio", "blkio.leaf_weight_device", f"{name} {leaf}", "blockIO.weightDevice"))
    for key, file in THROTTLES:
        for entry in items(block, key, f"{where}.{key}"):
            rate = number(entry, "rate", f"{where}.{key}") or 0
            result.append(one("blkio", file, f"{device(entry, where)} {rate}", "blockIO." + key))


def rdma(resources: "dict[str, Any]", controller: str, result: list[Write]) -> None:
    """rdma.max is the same file in both versions."""
    for name, entry in section(resources, "rdma", "linux.resources.rdma").items():
        if not isinstance(entry, dict):
            entry = {}
        parts = [name]
        for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            value = number(entry, key, "linux.resources.rdma." + name)
            if value is not None:
                parts.append(f"{word}={value}")
        if len(parts) > 1:
            result.append(one(controller, "rdma.max", " ".join(parts), "rdma"))
