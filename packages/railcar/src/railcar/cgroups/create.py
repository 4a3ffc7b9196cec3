"""Doing what a plan says: directories, limits, device rules, ownership. What fails is undone."""

import errno
import os

from railcar.cgroups import files, tree
from railcar.cgroups.group import Group
from railcar.cgroups.writes import apply
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.cgroups.plan import Plan

# Without these a rootless container does without a group, as long as nobody asked for one.
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
# The files that a delegated group's new owner gets besides the directory (cgroups(7)), where the kernel has no list.
DELEGATED = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n"


def _make(path: str, mount: str, made: list[str]) -> bool:
    """Make a group and its parents; True when it was there before. Another container's delete may take a parent away
    again."""
    for attempt in range(100):
        try:
            os.mkdir(path, 0o755)
            made.append(path)
            return False
        except FileExistsError:
            return True
        except FileNotFoundError:
            if attempt == 99:
                raise
        for parent in tree.missing(path, mount)[:-1]:
            try:
                os.mkdir(parent, 0o755)
                made.append(parent)
            except (FileExistsError, FileNotFoundError):
                break
    return False


def _inherit_cpuset(path: str, mount: str) -> None:
    """A new v1 cpuset has no CPU and no memory node, and nothing can join it: hand its parents' down."""
    chain = [path]
    while chain[-1] != mount:
        chain.append(chain[-1].rpartition("/")[0])
    for file in ("cpuset.cpus", "cpuset.mems"):
        value = ""
        for level in reversed(chain):
            own = files.read_or(f"{level}/{file}", "").strip()
            if not own and value:
                files.write(f"{level}/{file}", value)
            value = own or value


def _enable(path: str, mount: str) -> None:
    """Hand every controller of cgroup v2 down to a group, as far as each level allows."""
    level = mount
    for name in path[len(mount) :].split("/")[1:]:
        offered = files.read_or(level + "/cgroup.controllers", "").split()
        enabled = files.read_or(level + "/cgroup.subtree_control", "").split()
        wanted = ["+" + controller for controller in offered if controller not in enabled]
        if wanted:
            try:
                files.write(level + "/cgroup.subtree_control", " ".join(wanted))
            except OSError:
                # All or nothing failed: a controller that is really needed is missed, with its name, when its file
                # is written.
                for controller in wanted:
                    try:
                        files.write(level + "/cgroup.subtree_control", controller)
                    except OSError:
                        continue
        level = f"{level}/{name}"
        if files.read_or(level + "/cgroup.type", "") == "domain invalid\n":
            files.write(level + "/cgroup.type", "threaded")


def refuse_used(group: Group) -> None:
    pids = group.pids()
    if pids:
        raise RailcarError(f"container's cgroup is not empty: {len(pids)} process(es) found")
    if group.frozen():
        raise RailcarError("container's cgroup unexpectedly frozen")


def make_directories(plan: "Plan", group: Group, refuse: bool = True) -> None:
    """Make the group in every hierarchy; a rootless one leaves out what this user may not make."""
    there = False
    dropped: list[str] = []
    for path, mount in plan.mounts.items():
        try:
            there = _make(path, mount, group.made) or there
            if plan.mode == "v2":
                _enable(path, mount)
            elif plan.paths.get("cpuset") == path:
                _inherit_cpuset(path, mount)
        except OSError as error:
            if plan.rootless and not plan.explicit and error.errno in FORBIDDEN:
                dropped.append(path)
                continue
            raise RailcarError(f"cgroup: make {path}: {files.reason(error)}") from None
    if dropped:
        group.paths = {name: path for name, path in plan.paths.items() if path not in dropped}
    if there and refuse:
        refuse_used(group)


def write_limits(plan: "Plan", group: Group) -> None:
    """Device rules and all limits but the late ones, which the group keeps for :func:`driver.apply_late`."""
    for write in plan.writes:
        if write.controller not in group.paths:
            raise RailcarError(
                f"linux.resources.{write.field} needs a cgroup of the {write.controller} controller, and this user may "
                f"make none: delegate one (systemd does, with Delegate=yes) and name it in linux.cgroupsPath"
            )
    if "devices" in group.paths:
        _write_rules(plan, group.paths["devices"])
    apply(group.paths, [write for write in plan.writes if not write.late])
    group.late = [write for write in plan.writes if write.late]
    if plan.device_program and "unified" in group.paths:
        attach_devices(group.paths["unified"], plan.device_program, plan.rootless)


def _write_rules(plan: "Plan", directory: str) -> None:
    """The device rules of v1: one call for each, and a file is opened once for all rules in a row."""
    path, descriptor, line = "", -1, ""
    try:
        for file, line in plan.device_lines:
            if path != f"{directory}/{file}":
                if descriptor >= 0:
                    os.close(descriptor)
                path, descriptor = f"{directory}/{file}", -1
                descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.write(descriptor, line.encode())
    except OSError as error:
        if not plan.rootless:
            raise files.refused(path, line, "linux.resources.devices", error) from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def attach_devices(path: str, program: bytes, rootless: bool) -> None:
    """Attach a device program to a v2 group. Without the right to, a rootless container has no devices to guard."""
    from ocicommon.linux import bpf

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        loaded = bpf.load_device_program(program)
        try:
            bpf.attach(descriptor, loaded)
        finally:
            os.close(loaded)
    except OSError as error:
        if rootless and error.errno in FORBIDDEN:
            return
        raise RailcarError(
            f"linux.resources.devices: attach the device program to {path}: {files.reason(error)}"
        ) from None
    finally:
        os.close(descriptor)


def give(path: str, owner: tuple[int, int]) -> None:
    """Hand a v2 group to the user that a container's root is mapped to: the directory and what the kernel lists."""
    os.chown(path, owner[0], -1)
    for name in files.read_or("/sys/kernel/cgroup/delegate", DELEGATED).split():
        try:
            os.chown(f"{path}/{name}", owner[0], -1)
        except FileNotFoundError:
            continue


def create(plan: "Plan") -> Group:
    """Make a plan real. Under systemd the group comes with the first process, in :func:`driver.join`."""
    group = Group(plan.mode, dict(plan.paths), [])
    group.rootless = plan.rootless
    group.unit = plan.unit
    if plan.unit:
        group.plan = plan
        if group.exists():
            refuse_used(group)
        return group
    try:
        make_directories(plan, group)
        write_limits(plan, group)
        if plan.owner and "unified" in group.paths:
            give(group.paths["unified"], plan.owner)
        group.open()
    except BaseException as error:
        group.close()
        group.undo()
        if isinstance(error, OSError):
            raise RailcarError(f"cgroup: {error.filename or ''}: {files.reason(error)}") from None
        raise
    return group
