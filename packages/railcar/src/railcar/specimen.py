"""A first config.json, for root and for a user without privileges: a shell in a read-only root."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _mount(destination: str, kind: str, source: str, *options: str) -> "dict[str, Any]":
    entry: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    if options:
        entry["options"] = list(options)
    return entry


def config(version: str, own_cgroup_namespace: bool) -> "dict[str, Any]":
    """The configuration for root. A cgroup namespace of its own belongs to cgroup v2."""
    namespaces = ["pid", "network", "ipc", "uts", "mount"] + (["cgroup"] if own_cgroup_namespace else [])
    safe = ("nosuid", "noexec", "nodev")
    return {
        "ociVersion": version,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "railcar",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount(
                "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
            ),
            _mount("/dev/shm", "tmpfs", "shm", *safe, "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", *safe),
            _mount("/sys", "sysfs", "sysfs", *safe, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", *safe, "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
        },
    }


def rootless(full: "dict[str, Any]", uid: int, gid: int) -> "dict[str, Any]":
    """The configuration for a user without privileges: root inside is this user, the network is the host's, and what
    only the host's root may mount is bound or left out."""
    linux = dict(full["linux"])
    linux.pop("resources")
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "network"] + [{"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    mounts = []
    for mount in full["mounts"]:
        if mount["destination"] == "/sys":
            mount = _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
        elif mount["destination"] == "/sys/fs/cgroup" and {"type": "cgroup"} not in linux["namespaces"]:
            continue  # that of /sys is all that this user may show
        elif mount["destination"] == "/dev/pts":
            mount = {**mount, "options": [option for option in mount["options"] if option != "gid=5"]}
        mounts.append(mount)
    return {**full, "mounts": mounts, "linux": linux}
