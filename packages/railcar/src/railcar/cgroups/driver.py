"""What the two drivers do each in its own way: the first process, the late limits, the end. cgroupfs works on
directories; systemd's manager is told of it."""

from railcar.cgroups.writes import apply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.cgroups.group import Group


def join(group: "Group", pid: int) -> None:
    """Put a process in: by its pid, or under systemd, the first one, by making its unit."""
    if group.plan and group.unit:
        from railcar.cgroups import systemd

        systemd.start(group, group.plan, pid)
        group.plan = None
    else:
        group.add(pid)


def apply_late(group: "Group") -> None:
    """Write the limits that would have been in the way of the container's own start."""
    late, group.late = group.late, []
    if group.late_resources:
        from railcar.cgroups import systemd

        told, group.late_resources = group.late_resources, {}
        systemd.change(group, told)
    apply(group.paths, late)


def destroy(group: "Group") -> None:
    """Remove a group with all groups below it, and its unit. Raises RailcarError when processes keep it too long."""
    group.close()
    if group.unit:
        from railcar.cgroups import systemd

        systemd.stop(group)
    group.remove()
