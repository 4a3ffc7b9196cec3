"""Where a container's group lies: linux.cgroupsPath for the cgroupfs driver and for the systemd driver, and the record
of it."""

from railcar.cgroups.layout import Layout
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Unit:
    """A transient unit: its name, the slice above it, and its group relative to the root of the hierarchy."""

    __slots__ = ("group", "name", "slice")

    def __init__(self, name: str, slice_: str) -> None:
        self.name = name
        self.slice = slice_
        self.group = expand_slice(slice_) + "/" + name


def expand_slice(name: str) -> str:
    """The group of a slice: ``a-b.slice`` is ``/a.slice/a-b.slice``, and ``-.slice`` is the root (systemd.slice(5))."""
    if name == "-.slice":
        return ""
    stem = name.removesuffix(".slice")
    if stem == name or not stem or "/" in stem or stem.startswith("-") or stem.endswith("-") or "--" in stem:
        raise RailcarError(f"linux.cgroupsPath: {name!r} is no name of a slice: it must look like a-b.slice")
    path, prefix = "", ""
    for part in stem.split("-"):
        prefix += ("-" if prefix else "") + part
        path += f"/{prefix}.slice"
    return path


def unit(cgroups_path: str, container_id: str, rootless: bool) -> Unit:
    """The unit for ``slice:prefix:name``; an empty path and empty parts have defaults."""
    default = "user.slice" if rootless else "system.slice"
    if not cgroups_path:
        return Unit(f"railcar-{container_id}.scope", default)
    parts = cgroups_path.split(":")
    if len(parts) != 3:
        raise RailcarError(f"linux.cgroupsPath is {cgroups_path!r}: the systemd driver expects slice:prefix:name")
    slice_, prefix, name = parts
    if not name or "/" in cgroups_path:
        raise RailcarError(
            f"linux.cgroupsPath is {cgroups_path!r}: the systemd driver expects slice:prefix:name, without /"
        )
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return Unit(name, slice_ or default)


def cgroupfs(layout: Layout, cgroups_path: str, container_id: str) -> dict[str, str]:
    """controller -> directory. ``unified`` is cgroup v2's key; memory comes last, since it is joined last.

    An absolute path starts at the root of each hierarchy, a relative one at the group of this process. On v2 it
    starts beside that group: a group that holds processes cannot hand controllers down.
    """
    group = cgroups_path or container_id
    if not group.strip("/") or "\0" in group or "\n" in group:
        raise RailcarError(f"linux.cgroupsPath is {cgroups_path!r}, which names no group below the root")
    paths: dict[str, str] = {}
    if layout.unified:
        inner = group
        if layout.mode == "v2" and not group.startswith("/"):
            inner = layout.unified.own.rpartition("/")[0] + "/" + group
        paths["unified"] = layout.unified.path(inner)
    last: dict[str, str] = {}
    for hierarchy in layout.hierarchies:
        path = hierarchy.path(group)
        for controller in hierarchy.controllers:
            (last if "memory" in hierarchy.controllers else paths)[controller] = path
    paths.update(last)
    for path in paths.values():
        if any(path == hierarchy.mount for hierarchy in layout.hierarchies) or (
            layout.unified and path == layout.unified.mount
        ):
            raise RailcarError(f"linux.cgroupsPath is {cgroups_path!r}, which names the root of the hierarchy")
    return paths


def systemd(layout: Layout, made: Unit, manager: str = "") -> dict[str, str]:
    """controller -> directory of a unit below the group of its manager (root: "", a user's: user@UID.service)."""
    paths: dict[str, str] = {}
    last: dict[str, str] = {}
    if layout.unified:
        paths["unified"] = layout.unified.mount + manager + made.group
    for hierarchy in layout.hierarchies:
        for controller in hierarchy.controllers:
            path = hierarchy.mount + manager + made.group
            (last if "memory" in hierarchy.controllers else paths)[controller] = path
    paths.update(last)
    return paths


def record(mode: str, where: dict[str, str], made: list[str], unit: Unit | None, rootless: bool) -> "dict[str, Any]":
    """The part of a container's state that belongs to its group."""
    result: dict[str, Any] = {"mode": mode, "paths": where, "made": made, "rootless": rootless}
    if unit:
        result["unit"] = unit.name
        result["slice"] = unit.slice
    return result
