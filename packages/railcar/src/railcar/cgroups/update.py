"""Changing the limits of a group in being."""

from railcar.cgroups import files, v2
from railcar.cgroups.plan import plan_writes
from railcar.cgroups.properties import rate
from railcar.cgroups.values import number, section
from railcar.cgroups.writes import apply
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group


def update(group: "Group", resources: "dict[str, Any]") -> None:
    """Write the given limits, all checked before the first is written. Raises RailcarError and then has changed
    nothing, but for values that the kernel itself refused halfway."""
    given = {key: value for key, value in resources.items() if key != "devices"}
    memory = section(given, "memory", "linux.resources.memory")
    if memory.get("checkBeforeUpdate"):
        check_memory(group, memory)
    if group.unit or group.mode == "v2":
        given = with_bandwidth(group, given)
    if group.mode == "v2" and "unified" in group.paths:
        given = with_idleness(group.paths["unified"], given)
        writes = v2.writes(given, known_limit(group.paths["unified"]))
    else:
        writes, _ = plan_writes(group.mode, group.paths, given)
    apply(group.paths, writes)
    if group.unit:
        from railcar.cgroups import systemd

        systemd.change(group, given)
        # It writes all that it knows anew: a rate as it has rounded it, and no period without a quota.
        apply(group.paths, writes)


def known_limit(path: str) -> int | None:
    """memory.max of a v2 group in bytes; None when it has none."""
    text = files.read_or(path + "/memory.max", "max").strip()
    return None if text == "max" else int(text)


def with_idleness(path: str, resources: "dict[str, Any]") -> "dict[str, Any]":
    """The resources, and no idleness for a new weight, which the kernel refuses an idle v2 group."""
    cpu = section(resources, "cpu", "linux.resources.cpu")
    unified = section(resources, "unified", "linux.resources.unified")
    if files.read_or(path + "/cpu.idle", "0").strip() == "1":
        if cpu.get("shares") and cpu.get("idle") is None:
            cpu = {**cpu, "idle": 0}
        if "cpu.weight" in unified and "cpu.idle" not in unified:
            unified = {"cpu.idle": "0", **unified}
    parts = {"cpu": cpu, "unified": unified}
    return {**resources, **{key: value for key, value in parts.items() if value}}


def with_bandwidth(group: "Group", resources: "dict[str, Any]") -> "dict[str, Any]":
    """The resources with quota and period both, where one is given: v2 has one file and systemd a rate for them. Under
    systemd the quota is one for a rate that it can express."""
    cpu = section(resources, "cpu", "linux.resources.cpu")
    quota, period = (number(cpu, key, "linux.resources.cpu") for key in ("quota", "period"))
    if not quota and not period:
        return resources
    if group.mode == "v2":
        had, every = files.read_or(group.paths.get("unified", "") + "/cpu.max", "max 100000").split()
    else:
        directory = group.paths.get("cpu", "")
        had = files.read_or(directory + "/cpu.cfs_quota_us", "-1").strip()
        every = files.read_or(directory + "/cpu.cfs_period_us", "100000").strip()
    quota, period = quota or (-1 if had == "max" else int(had)), period or int(every)
    if group.unit and quota > 0:
        quota = rate(quota, period) * period // 1_000_000
    return {**resources, "cpu": {**cpu, "quota": quota, "period": period}}


def check_memory(group: "Group", memory: "dict[str, Any]") -> None:
    """memory.checkBeforeUpdate: refuse a limit (bytes) under the present usage, instead of letting the kernel kill."""
    if group.mode == "v2":
        text = files.read_or(group.paths["unified"] + "/memory.current", "0")
    else:
        text = files.read_or(group.paths.get("memory", "") + "/memory.usage_in_bytes", "0")
    usage = int(text)
    for key, name in (("swap", "memory+swap"), ("limit", "memory")):
        limit = number(memory, key, "linux.resources.memory")
        if limit and 0 < limit <= usage:
            raise RailcarError(
                f"memory usage {usage} exceeds the new limit {limit}: rejecting {name} limit (checkBeforeUpdate)"
            )
