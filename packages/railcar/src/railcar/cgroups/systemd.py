"""The systemd driver: a container's group as a transient scope of the system's or the user's manager.

systemd makes the group with the container's first process in it; railcar then fills in what systemd has no property
for.
"""

import os

from railcar.cgroups import create, dbus, files, manager, properties
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group
    from railcar.cgroups.plan import Plan


def unit_properties(plan: "Plan", pid: int) -> "list[properties.Property]":
    """The properties of a container's unit, for StartTransientUnit."""
    if plan.unit is None:
        return []
    slice_unit = plan.unit.name.endswith(".slice")
    result: list[properties.Property] = [("Description", ("s", f"OCI container {plan.unit.name} (railcar)"))]
    if slice_unit:
        result.append(("Wants", ("as", [plan.unit.slice])))
    else:
        result += [("Slice", ("s", plan.unit.slice)), ("Delegate", ("b", True)), ("PIDs", ("au", [pid]))]
    for name in ("MemoryAccounting", "CPUAccounting", "TasksAccounting"):
        result.append((name, ("b", True)))
    result.append(("IOAccounting" if plan.mode == "v2" else "BlockIOAccounting", ("b", True)))
    result.append(("DefaultDependencies", ("b", False)))
    given = properties.annotations(plan.annotations)
    chosen = {name for name, _ in given}
    # A small memory limit would kill the start: it is written to the group late, and then told to systemd.
    late = {name for write in plan.writes if write.late for name in properties.LATE.get(write.field, ())}
    limited = [entry for entry in properties.limits(plan.resources, plan.mode) if entry[0] not in late]
    return [entry for entry in result + limited if entry[0] not in chosen] + given


def start(group: "Group", plan: "Plan", pid: int) -> None:
    """Make the unit with its first process, join the hierarchies that systemd leaves to us, and write the limits."""
    if plan.unit is None:
        return
    if group.exists():
        create.refuse_used(group)
    connection = dbus.connect(plan.rootless)
    try:
        manager.start_unit(connection, plan.unit.name, unit_properties(plan, pid))
        try:
            if plan.mode == "v2" and not group.of_process(pid):
                raise RailcarError(
                    f"systemd made the unit {plan.unit.name}, and not in {group.paths['unified']}: "
                    "does another systemd than this machine's answer?"
                )
            create.make_directories(plan, group, refuse=False)
            for path in group.directories():
                if str(pid) not in files.read_or(path + "/cgroup.procs", "").split():
                    files.write(path + "/cgroup.procs", str(pid))
            create.write_limits(plan, group)
            if group.late:
                told = ("memory", "pids", "unified")
                group.late_resources = {key: plan.resources[key] for key in told if key in plan.resources}
                # Told of one controller, systemd writes the others anew, and no period without a quota.
                group.late += [write for write in plan.writes if write.field.startswith("cpu.") and not write.late]
            if plan.owner and "unified" in group.paths:
                create.give(group.paths["unified"], plan.owner)
            group.open()
        except BaseException:
            group.close()
            manager.stop_unit(connection, plan.unit.name)
            group.undo()
            raise
    except OSError as error:
        raise RailcarError(f"cgroup: {error.filename or plan.unit.name}: {files.reason(error)}") from None
    finally:
        connection.close()


def attach(group: "Group", pid: int) -> None:
    """Put a process of our own user where the group's ``clone_fd`` is: into its unit, or a group below that."""
    if not group.unit:
        return
    inner = os.readlink(f"/proc/self/fd/{group.clone_fd}").partition("/" + group.unit.name)[2]
    connection = dbus.connect(group.rootless)
    try:
        manager.attach(connection, group.unit.name, inner, pid)
    finally:
        connection.close()


def stop(group: "Group") -> None:
    """Stop a group's unit. Without systemd the group can still be removed, and systemd drops an empty scope itself."""
    if not group.unit or not group.exists():
        return
    try:
        connection = dbus.connect(group.rootless)
    except RailcarError:
        return
    try:
        manager.stop_unit(connection, group.unit.name)
    except RailcarError:
        return
    finally:
        connection.close()


def change(group: "Group", resources: "dict[str, Any]") -> None:
    """Tell systemd of new limits, else it would write the old ones again at its next reload."""
    given = properties.limits(resources, group.mode)
    if not given or not group.unit:
        return
    connection = dbus.connect(group.rootless)
    try:
        manager.change(connection, group.unit.name, given)
    finally:
        connection.close()
