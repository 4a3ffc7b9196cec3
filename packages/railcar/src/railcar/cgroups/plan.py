"""Deciding: from a layout and a configuration to the directories, the writes and the device rules of a container's
group."""

import os

from railcar.cgroups import device_program, devices, paths, tree, v1, v2
from railcar.cgroups.values import Write, section
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.layout import Layout


class Plan:
    """What will be made; nothing is made before :func:`railcar.cgroups.create.create`."""

    __slots__ = (
        "absent",
        "annotations",
        "check_before_update",
        "device_lines",
        "device_program",
        "explicit",
        "mode",
        "mounts",
        "owner",
        "paths",
        "resources",
        "rootless",
        "unit",
        "warnings",
        "writes",
    )

    def __init__(self, mode: str, where: dict[str, str], mounts: dict[str, str]) -> None:
        self.mode = mode
        # the directories that were not there when this was first asked for
        self.absent: list[str] | None = None
        self.paths = where
        # directory -> mount point of its hierarchy
        self.mounts = mounts
        self.writes: list[Write] = []
        self.device_lines: list[tuple[str, str]] = []
        self.device_program = b""
        self.warnings: list[str] = []
        self.owner: tuple[int, int] | None = None
        self.unit: paths.Unit | None = None
        self.rootless = False
        self.explicit = False
        self.check_before_update = False
        self.annotations: dict[str, str] = {}
        self.resources: dict[str, Any] = {}

    def record(self) -> "dict[str, Any]":
        """What :func:`railcar.cgroups.from_record` needs to remove the group after a crash while it is made."""
        if self.absent is None:
            self.absent = []
            for path in dict.fromkeys(self.paths.values()):
                self.absent += tree.missing(path, self.mounts[path])
        return paths.record(self.mode, self.paths, list(self.absent), self.unit, self.rootless)

    def shown(self) -> "dict[str, Any]":
        """The record that mounts of type cgroup go by: a rootless container that can have no group of its own in a
        hierarchy sees the one that it stays in."""
        result = self.record()
        if self.rootless and not self.explicit:
            where = dict(self.paths)
            for name, path in self.paths.items():
                absent = tree.missing(path, self.mounts[path])
                parent = absent[0].rpartition("/")[0] if absent else ""
                if parent and not os.access(parent, os.W_OK):
                    where[name] = parent
            result["paths"] = where
        return result


def plan_writes(
    layout_mode: str, where: "dict[str, str]", resources: "dict[str, Any]"
) -> tuple[list[Write], list[str]]:
    """The writes for a group with these directories, and warnings. Raises for a controller that no hierarchy has."""
    unified_values = section(resources, "unified", "linux.resources.unified")
    if layout_mode == "v2":
        return v2.writes(resources), v2.warnings(resources)
    if unified_values and "unified" not in where:
        raise RailcarError(
            "linux.resources.unified is for cgroup v2, and this machine has v1 only: invalid configuration"
        )
    for key in unified_values:
        controller = key.partition(".")[0]
        if controller in where:
            raise RailcarError(
                f"linux.resources.unified has {key}, and the {controller} controller is on a v1 hierarchy here: "
                "invalid configuration"
            )
    writes = v1.writes(resources)
    if "unified" in where:
        # Hybrid: what has no v1 hierarchy may have its controller on the unified one.
        second = {
            write.field: write for write in v2.writes({key: resources[key] for key in ("unified",) if key in resources})
        }
        moved = [write for write in writes if write.controller in ("hugetlb", "rdma") and write.controller not in where]
        if moved:
            writes = [write for write in writes if write not in moved]
            parts = {str(key): resources[key] for key in ("hugepageLimits", "rdma") if key in resources}
            writes += [write for write in v2.writes(parts) if any(write.field == other.field for other in moved)]
        writes += second.values()
    for write in writes:
        if write.controller not in where and not write.optional:
            raise RailcarError(
                f"linux.resources.{write.field} needs the {write.controller} controller, which no mounted cgroup "
                f"hierarchy has (there are: {', '.join(sorted(where)) or 'none'})"
            )
    return [write for write in writes if write.controller in where], []


def plan(
    layout: "Layout",
    container_id: str,
    cgroups_path: str | None,
    resources: "dict[str, Any] | None",
    systemd: bool = False,
    rootless: bool = False,
    owner: tuple[int, int] | None = None,
    annotations: "dict[str, str] | None" = None,
) -> Plan:
    """The plan for a container.

    ``owner`` is the (uid, gid) on the host that the container's root is mapped to, given when the container shall
    manage its group itself (new user and cgroup namespaces, and a writable cgroup mount). Raises RailcarError for
    what the configuration asks and no kernel of this layout could do.
    """
    resources = resources or {}
    path = cgroups_path or ""
    if systemd:
        from railcar.cgroups import manager

        unit = paths.unit(path, container_id, rootless)
        where = paths.systemd(layout, unit, manager.group(layout, rootless))
    else:
        unit = None
        where = paths.cgroupfs(layout, path, container_id) if layout.mode != "none" else {}
    mounts: dict[str, str] = {}
    for hierarchy in layout.hierarchies:
        mounts[where[hierarchy.controllers[0]]] = hierarchy.mount
    if layout.unified:
        mounts[where["unified"]] = layout.unified.mount
    result = Plan(layout.mode, where, mounts)
    result.unit = unit
    result.resources = resources
    result.rootless = rootless
    result.explicit = bool(path)
    result.owner = owner if layout.mode == "v2" else None
    result.annotations = annotations or {}
    result.check_before_update = bool(section(resources, "memory", "linux.resources.memory").get("checkBeforeUpdate"))
    if layout.mode == "none" and not any(resources.values()):
        return result
    result.writes, result.warnings = plan_writes(layout.mode, where, resources)
    result.warnings += devices.warnings(resources)
    rules = devices.rules(resources)
    if layout.mode == "v2":
        result.device_program = device_program.generate(rules)
    elif "devices" in where:
        result.device_lines = devices.v1_lines(rules)
    return result
