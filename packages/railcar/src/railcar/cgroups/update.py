"""Changing the limits of a group in being."""

from railcar.cgroups import files, v2
from railcar.cgroups.plan import plan_writes
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
        check_memory(group, number(memory, "limit", "linux.resources.memory"))
    if group.mode == "v2" and "unified" in group.paths:
        writes = v2.writes(complete(group.paths["unified"], given), known_limit(group.paths["unified"]))
    else:
        writes, _ = plan_writes(group.mode, group.paths, given)
    apply(group.paths, writes)
    if group.unit:
        from railcar.cgroups import systemd

        systemd.change(group, given)


def known_limit(path: str) -> int | None:
    """memory.max of a v2 group in bytes; None when it has none."""
    text = files.read_or(path + "/memory.max", "max").strip()
    return None if text == "max" else int(text)


def complete(path: str, resources: "dict[str, Any]") -> "dict[str, Any]":
    """cpu.max holds quota and period together: when only the period is given, the quota is the one in force."""
    cpu = section(resources, "cpu", "linux.resources.cpu")
    if not cpu.get("period") or cpu.get("quota"):
        return resources
    quota = files.read_or(path + "/cpu.max", "max").split()[0]
    return {**resources, "cpu": {**cpu, "quota": -1 if quota == "max" else int(quota)}}


def check_memory(group: "Group", limit: int | None) -> None:
    """memory.checkBeforeUpdate: refuse a limit (bytes) under the present usage, instead of letting the kernel kill."""
    if limit is None or limit <= 0:
        return
    if group.mode == "v2":
        text = files.read_or(group.paths["unified"] + "/memory.current", "0")
    else:
        text = files.read_or(group.paths.get("memory", "") + "/memory.usage_in_bytes", "0")
    usage = int(text)
    if limit < usage:
        raise RailcarError(
            f"memory usage {usage} exceeds the new limit {limit}: rejecting memory limit (checkBeforeUpdate)"
        )
