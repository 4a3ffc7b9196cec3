"""What will be in a container's root, decided from config.json: no system call is made here.

The order of doing is the order of the fields of `Plan`: the root, the mounts as listed, devices and links, then (after
the hooks) masks, read-only paths and the root's own attributes. runtime-spec config.md and config-linux.md.
"""

from __future__ import annotations

import os.path

from ocicommon.linux.mounts import MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE

from railcar.errors import ConfigError
from railcar.plan.namespaces import ranges, to_host
from railcar.rootfs import options as words
from railcar.rootfs import sysctl
from railcar.rootfs.devices import Device, wanted_devices
from railcar.rootfs.mount import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from railcar.rootfs.mount import Mapping

    CgroupMounts = Callable[[dict[str, Any]], list[dict[str, Any]]]

# What may be mounted over inside /proc: files that tools fake, and nothing that security labels are written through.
PROC_EXCEPTIONS = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
)

ROOT_PROPAGATION = {
    "": MS_SLAVE | MS_REC,
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}


class Plan:
    """Everything about a container's root. ``enter``: "pivot", "move" (--no-pivot) or "chroot" (no mount namespace)."""

    __slots__ = (
        "cwd",
        "devices",
        "domainname",
        "enter",
        "hostname",
        "label",
        "masked",
        "mounts",
        "propagation",
        "readonly",
        "readonly_paths",
        "root_propagation_given",
        "rootfs",
        "set_up_dev",
        "sysctl",
        "sysctl_joins",
        "user_namespace",
    )

    def __init__(self, rootfs: str, enter: str) -> None:
        self.rootfs = rootfs
        self.enter = enter
        self.mounts: list[Mount] = []
        self.devices: list[Device] = []
        self.masked: list[str] = []
        self.readonly_paths: list[str] = []
        self.sysctl: list[tuple[str, str, str]] = []
        self.sysctl_joins: list[tuple[str, str]] = []
        self.propagation = ROOT_PROPAGATION[""]
        self.root_propagation_given = False
        self.readonly = False
        self.set_up_dev = True
        self.user_namespace = False
        self.cwd = "/"
        self.hostname = ""
        self.domainname = ""
        self.label = ""


def plan(
    config: dict[str, Any], bundle: str, *, no_pivot: bool = False, cgroup_mounts: CgroupMounts | None = None
) -> Plan:
    """Decide on the root of the container that ``config`` describes; ``bundle`` is an absolute path.

    ``cgroup_mounts`` says what a mount of type ``cgroup`` becomes: a list of mounts in the shape of config.json, where
    ``type`` may also be ``symlink`` (``source`` is its target). Raises ConfigError.
    """
    linux = config.get("linux") or {}
    root = config.get("root") or {}
    path = root.get("path") or ""
    if not path:
        raise ConfigError("root.path is missing in config.json: it names the directory that becomes the container's /")
    namespaces = {entry.get("type"): entry.get("path") or "" for entry in linux.get("namespaces") or []}
    own_mounts = "mount" in namespaces
    enter = "chroot" if not own_mounts else "move" if no_pivot else "pivot"
    made = Plan(os.path.normpath(os.path.join(bundle, path)), enter)
    made.readonly = bool(root.get("readonly"))
    made.user_namespace = "user" in namespaces
    propagation = linux.get("rootfsPropagation") or ""
    if propagation not in ROOT_PROPAGATION:
        known = ", ".join(name for name in ROOT_PROPAGATION if name)
        raise ConfigError(f"linux.rootfsPropagation {propagation!r} is not one of {known}")
    made.propagation = ROOT_PROPAGATION[propagation]
    made.root_propagation_given = bool(propagation)
    made.label = linux.get("mountLabel") or ""
    made.masked = [normal(name, "linux.maskedPaths") for name in linux.get("maskedPaths") or []]
    made.readonly_paths = [normal(name, "linux.readonlyPaths") for name in linux.get("readonlyPaths") or []]
    made.cwd = (config.get("process") or {}).get("cwd") or "/"
    made.hostname = config.get("hostname") or ""
    made.domainname = config.get("domainname") or ""
    for field, value in (("hostname", made.hostname), ("domainname", made.domainname)):
        if value and "uts" not in namespaces:
            raise ConfigError(
                f'{field} {value!r} needs a "uts" namespace in linux.namespaces: it would rename the host'
            )
    made.sysctl = sysctl.checked(linux.get("sysctl") or {}, namespaces, made.hostname)
    if made.sysctl:
        made.sysctl_joins = [(kind, path) for kind, path in namespaces.items() if path and kind in sysctl.KINDS]
    made.mounts = _mounts(config, bundle, linux, made, cgroup_mounts)
    made.set_up_dev = not any(mount.destination == "/dev" and mount.what == "bind" for mount in made.mounts)
    made.devices = wanted_devices(linux.get("devices") or []) if made.set_up_dev else []
    if made.user_namespace:
        _own_devices(made, linux)
    if not own_mounts:
        _refuse_in_host_namespace(made)
    return made


def _own_devices(made: Plan, linux: dict[str, Any]) -> None:
    """Whose the devices of linux.devices are; the default ones are the host's, which are for everybody."""
    uids, gids = ranges(linux.get("uidMappings")), ranges(linux.get("gidMappings"))
    listed = len(linux.get("devices") or [])
    if uids and gids and listed:
        for device in made.devices[-listed:]:
            device.owner = to_host(uids, device.uid), to_host(gids, device.gid)


def _refuse_in_host_namespace(made: Plan) -> None:
    for field, value in (
        ("mounts", made.mounts),
        ("linux.maskedPaths", made.masked),
        ("linux.readonlyPaths", made.readonly_paths),
        ("root.readonly", made.readonly),
    ):
        if value:
            raise ConfigError(
                f'{field} needs a "mount" namespace in linux.namespaces: it would change the host\'s mounts'
            )


def normal(path: str, field: str) -> str:
    """A destination as an absolute path without ``..``; the spec tolerates relative ones, meant from the root."""
    if not path:
        raise ConfigError(f"{field} has an empty path")
    if "\0" in path:
        raise ConfigError(f"{field} has a NUL in its path {path!r}")
    clean = os.path.normpath("/" + path)
    return clean[1:] if clean.startswith("//") else clean


def _mounts(
    config: dict[str, Any], bundle: str, linux: dict[str, Any], made: Plan, cgroup_mounts: CgroupMounts | None
) -> list[Mount]:
    result: list[Mount] = []
    for index, entry in enumerate(config.get("mounts") or []):
        if entry.get("type") in ("cgroup", "cgroup2") and cgroup_mounts is not None and not _is_bind(entry):
            for part in cgroup_mounts(entry):
                mount = _mount(index, part, bundle, linux, made)
                mount.inside = True
                result.append(mount)
            continue
        mount = _mount(index, entry, bundle, linux, made)
        if mount.what == "bind":
            mount.inside = _made_before(mount.source, made.rootfs, result)
        result.append(mount)
    return result


def _made_before(source: str, rootfs: str, earlier: list[Mount]) -> bool:
    """Whether a bind's source lies in the root, and holds or lies in what an earlier mount puts there."""
    if not source.startswith(rootfs + "/"):
        return False
    path = source[len(rootfs) :] + "/"
    return any((before := mount.destination + "/").startswith(path) or path.startswith(before) for mount in earlier)


def _is_bind(entry: dict[str, Any]) -> bool:
    given = entry.get("options") or []
    return "bind" in given or "rbind" in given


def _mount(index: int, entry: dict[str, Any], bundle: str, linux: dict[str, Any], made: Plan) -> Mount:
    where = f"mounts[{index}]"
    destination = normal(entry.get("destination") or "", f"{where}.destination")
    if destination.startswith(made.rootfs + "/"):
        destination = destination[len(made.rootfs) :]
    if destination == "/":
        raise ConfigError(f"{where}.destination / is the root itself: set root.path to what should be there")
    kind = entry.get("type") or ""
    options = words.parse(entry.get("options") or [])
    if kind == "bind" and not options.bind and not options.remount:
        options.bind = "bind"
    source = entry.get("source") or ""
    what = "link" if kind == "symlink" else "remount" if options.remount else "bind" if options.bind else "new"
    if what == "bind":
        if not source:
            raise ConfigError(f"{where}.source is missing: a bind mount on {destination} needs to know of what")
        source = os.path.normpath(os.path.join(bundle, source))
        kind = "bind"
    elif what == "new" and not kind:
        raise ConfigError(f"{where}.type is missing: {destination} is no bind mount, so it needs a filesystem type")
    mount = Mount(index, what, destination, kind, source, options)
    if what == "new":
        _adjust_new(mount, made)
    _check_copy_up(mount)
    _read_mappings(mount, entry, linux)
    check_proc(mount)
    return mount


def _adjust_new(mount: Mount, made: Plan) -> None:
    if mount.type == "tmpfs" and mount.options.set & MOUNT_ATTR_RDONLY:
        mount.late_readonly = True
        mount.options.set &= ~MOUNT_ATTR_RDONLY
    if made.label and mount.type not in ("proc", "sysfs", "cgroup", "cgroup2", "mqueue"):
        mount.options.data.append(f'context="{made.label}"')


def _check_copy_up(mount: Mount) -> None:
    if mount.options.copy_up and (mount.what != "new" or mount.type != "tmpfs"):
        raise ConfigError(f"{mount.name()}: tmpcopyup is for type tmpfs only")


def _read_mappings(mount: Mount, entry: dict[str, Any], linux: dict[str, Any]) -> None:
    uids, gids = entry.get("uidMappings") or [], entry.get("gidMappings") or []
    if not (uids or gids or mount.options.idmap):
        return
    where = f"mounts[{mount.index}]"
    if mount.what != "bind":
        raise ConfigError(f"{where}: id mappings are for bind mounts only, and {mount.destination} is none")
    if bool(uids) != bool(gids):
        raise ConfigError(f"{where}: uidMappings and gidMappings go together, and one is missing")
    if not uids:
        uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
        if not uids and not gids:
            mount.id_space = next(
                (e.get("path") or "" for e in linux.get("namespaces") or [] if e["type"] == "user"), ""
            )
        if not (uids and gids) and not mount.id_space:
            raise ConfigError(
                f"{where}: option {mount.options.idmap} needs uidMappings and gidMappings, of the mount or of linux"
            )
    mount.options.idmap = mount.options.idmap or "idmap"
    mount.uid_mappings = [_mapping(item, f"{where}.uidMappings") for item in uids]
    mount.gid_mappings = [_mapping(item, f"{where}.gidMappings") for item in gids]


def _mapping(item: dict[str, Any], field: str) -> Mapping:
    triple = (item.get("containerID", 0), item.get("hostID", 0), item.get("size", 0))
    if any(type(number) is not int or not 0 <= number <= 0xFFFFFFFF for number in triple) or triple[2] == 0:
        raise ConfigError(
            f"{field} holds {item!r}: containerID, hostID and size must be numbers below 2^32, size not 0"
        )
    return triple


def check_proc(mount: Mount) -> None:
    """Refuse what would make writes to /proc go astray (CVE-2019-16884, CVE-2025-52881).

    On /proc itself only a proc filesystem (a bind is looked at when its source is open), below it only known files.
    """
    destination = mount.destination
    if destination == "/proc":
        if mount.what == "new" and mount.type != "proc":
            raise ConfigError(f"{mount.name()}: only a proc filesystem can be mounted on /proc")
    elif destination.startswith("/proc/") and destination not in PROC_EXCEPTIONS and mount.what != "remount":
        if mount.what == "new" and mount.type == "proc":
            return
        raise ConfigError(
            f"{mount.name()} cannot be mounted because it is inside /proc; only these can: {', '.join(PROC_EXCEPTIONS)}"
        )
