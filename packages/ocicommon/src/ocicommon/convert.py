"""Image configuration to runtime configuration, by the image specification's conversion.md. Pure: dictionaries only."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocicommon import accounts
from ocicommon.errors import ConversionError

OCI_VERSION = "1.0.2"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PREFIX = "org.opencontainers.image."

# What containers get from Docker and podman; enough for ordinary servers.
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class IDMap:
    """`size` ids from `container` on are those from `host` on."""

    container: int
    host: int
    size: int = 1


@dataclass(frozen=True)
class Rootless:
    """For a caller without privileges: the maps of its user namespace."""

    uids: tuple[IDMap, ...]
    gids: tuple[IDMap, ...]


def rootless_for(account: accounts.Account, uid: int, gid: int) -> Rootless:
    """Maps that make the caller `uid`:`gid` be the image's user, which needs neither newuidmap nor subordinate ids."""
    return Rootless((IDMap(account.uid, uid),), (IDMap(account.gid, gid),))


def annotations(image: Mapping[str, Any]) -> dict[str, str]:
    """The annotations of the runtime configuration: the image's fields, then its labels, which win."""
    config = image.get("config") or {}
    made: dict[str, str] = {}
    for field in ("os", "architecture", "variant", "os.version", "author", "created"):
        if image.get(field):
            made[PREFIX + field] = str(image[field])
    if image.get("os.features"):
        made[PREFIX + "os.features"] = ",".join(image["os.features"])
    if config.get("StopSignal"):
        made[PREFIX + "stopSignal"] = config["StopSignal"]
    if config.get("ExposedPorts"):
        made[PREFIX + "exposedPorts"] = ",".join(sorted(config["ExposedPorts"]))
    made.update(config.get("Labels") or {})
    return made


def process(image: Mapping[str, Any], account: accounts.Account, *, terminal: bool = False) -> dict[str, Any]:
    """The `process` of the runtime configuration, without capabilities; ConversionError if nothing is to be run."""
    config = image.get("config") or {}
    args = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    if not args:
        raise ConversionError("the image has neither an entrypoint nor a command: there is nothing to run")
    env = list(config.get("Env") or [])
    names = {entry.partition("=")[0] for entry in env}
    if "PATH" not in names:
        env.append(DEFAULT_PATH)
    if "HOME" not in names:
        env.append(f"HOME={account.home or '/'}")
    if terminal and "TERM" not in names:
        env.append("TERM=xterm")
    user: dict[str, Any] = {"uid": account.uid, "gid": account.gid}
    if account.additional_gids:
        user["additionalGids"] = list(account.additional_gids)
    return {"terminal": terminal, "user": user, "args": args, "env": env, "cwd": config.get("WorkingDir") or "/"}


def volumes(image: Mapping[str, Any], taken: Iterable[str] = ()) -> list[dict[str, Any]]:
    """A tmpfs mount for each of the image's volumes that is not at a `taken` destination."""
    config = image.get("config") or {}
    used = {_clean(path) for path in taken}
    wanted = {_clean(path) for path in config.get("Volumes") or {}} - used
    for path in wanted:
        if not path.startswith("/") or path == "/" or ".." in path.split("/"):
            raise ConversionError(f"the image's volume {path!r} is not an absolute path below /")
    return [tmpfs(path) for path in sorted(wanted)]


def tmpfs(path: str, mode: str = "1777") -> dict[str, Any]:
    """A tmpfs mount at `path` that everyone may write to."""
    options = ["nosuid", "nodev", f"mode={mode}"]
    return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options}


def _clean(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def runtime_config(
    image: Mapping[str, Any],
    *,
    passwd: str = "",
    group: str = "",
    rootfs: str = "rootfs",
    read_only: bool = False,
    terminal: bool = False,
    hostname: str | None = None,
    capabilities: Sequence[str] = CAPABILITIES,
    mounts: Sequence[Mapping[str, Any]] = (),
    rootless: Rootless | None = None,
) -> dict[str, Any]:
    """A whole config.json for a Linux runtime, from an image's configuration (its JSON as a dictionary).

    `passwd` and `group` are the texts of the image's own files, where names are looked up. `mounts` come after the
    usual ones, and before tmpfs mounts for those of the image's volumes that nothing is mounted at. With `rootless`
    the container gets a user namespace, the caller's network and no cgroup mount. Raises ConversionError.
    """
    system = image.get("os", "linux")
    if system != "linux":
        raise ConversionError(f"the image is for {system}: only linux images become a Linux runtime's configuration")
    config = image.get("config") or {}
    account = accounts.resolve(config.get("User") or "", passwd, group)
    made_process = process(image, account, terminal=terminal)
    bounding = sorted(capabilities)
    # A user other than root has no capabilities at exec, whatever its permitted set was: say so.
    held = bounding if account.uid == 0 else []
    made_process["capabilities"] = {"bounding": bounding, "effective": held, "permitted": held}
    made_process["noNewPrivileges"] = True
    made_process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]
    own = {_clean(str(mount["destination"])) for mount in mounts}
    usual = [mount for mount in _mounts(rootless is not None) if mount["destination"] not in own]
    all_mounts = [*usual, *(copy.deepcopy(dict(mount)) for mount in mounts)]
    all_mounts += volumes(image, (mount["destination"] for mount in all_mounts))
    made: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": made_process,
        "root": {"path": rootfs, "readonly": read_only},
        "hostname": hostname or "container",
        "mounts": all_mounts,
        "annotations": annotations(image),
        "linux": _linux(rootless),
    }
    if rootless is not None:
        _check_mapped(account, rootless)
    return made


def _check_mapped(account: accounts.Account, rootless: Rootless) -> None:
    for kind, number, maps in (("user", account.uid, rootless.uids), ("group", account.gid, rootless.gids)):
        if not any(map.container <= number < map.container + map.size for map in maps):
            raise ConversionError(f"the image's {kind} id {number} is not mapped in the user namespace")


def _mounts(rootless: bool) -> list[dict[str, Any]]:
    def mount(destination: str, type_: str, source: str, *options: str) -> dict[str, Any]:
        return {"destination": destination, "type": type_, "source": source, "options": list(options)}

    # A user namespace with few ids has no group 5 (tty), and without a network namespace of its own no sysfs.
    terminals = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    made = [
        mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", *terminals, *(() if rootless else ("gid=5",))),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]
    if rootless:
        made.append(mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro"))
    else:
        made.append(mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"))
        made.append(mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
    return made


def _linux(rootless: Rootless | None) -> dict[str, Any]:
    namespaces = ["pid", "ipc", "uts", "mount"]
    made: dict[str, Any] = {}
    if rootless is None:
        namespaces.append("network")
        made["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    else:
        namespaces.append("user")
        for name, maps in (("uidMappings", rootless.uids), ("gidMappings", rootless.gids)):
            made[name] = [{"containerID": m.container, "hostID": m.host, "size": m.size} for m in maps]
    made["namespaces"] = [{"type": name} for name in namespaces]
    made["maskedPaths"] = list(MASKED)
    made["readonlyPaths"] = list(READ_ONLY)
    return made
