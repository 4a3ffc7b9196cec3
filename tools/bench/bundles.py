"""The bundles that are measured: a minimal configuration, and one like Docker's own."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ocicommon.linux.seccomp import default

Config = dict[str, Any]

CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
]  # fmt: skip
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
DEVICES = ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
QUIET = ["nosuid", "noexec", "nodev"]


def mount(destination: str, kind: str, source: str, options: list[str]) -> Config:
    return {"destination": destination, "type": kind, "source": source, "options": options}


def minimal(args: list[str]) -> Config:
    """Five new namespaces and /proc: what `runc spec` would leave if all that can go were gone."""
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": args, "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": [mount("/proc", "proc", "proc", [])],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
    }


def docker_like(args: list[str], host_files: Path) -> Config:
    """Docker's default profile, masks, capabilities, limits and mounts, as `docker run -m 512m --cpus 1` has them."""
    config = minimal(args)
    sets = ("bounding", "effective", "permitted")
    config["process"] |= {
        "capabilities": dict.fromkeys(sets, CAPABILITIES),
        "noNewPrivileges": False,
        "oomScoreAdj": 0,
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=bench", "HOME=/root"],
    }
    config["hostname"] = "bench"
    config["mounts"] = [
        mount("/proc", "proc", "proc", QUIET),
        mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/sys", "sysfs", "sysfs", [*QUIET, "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", *QUIET]),
        mount("/dev/mqueue", "mqueue", "mqueue", QUIET),
        mount("/dev/shm", "tmpfs", "shm", [*QUIET, "mode=1777", "size=67108864"]),
        *(mount(f"/etc/{name}", "bind", str(host_files / name), ["rbind", "rprivate"]) for name in FILES),
    ]
    rules: list[Config] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in DEVICES]
    config["linux"] |= {
        "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
        "maskedPaths": MASKED,
        "readonlyPaths": READONLY,
        "seccomp": default.docker(CAPABILITIES),
        "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
        "resources": {
            "devices": rules,
            "memory": {"limit": 512 << 20, "swap": 1 << 30},
            "cpu": {"shares": 1024, "quota": 100000, "period": 100000},
            "pids": {"limit": 512},
        },
    }
    return config


def without_controllers(config: Config) -> Config:
    """The same without limits, for v2 beside v1: a controller that v1 holds is not there."""
    resources = config["linux"].get("resources", {})
    config["linux"]["resources"] = {key: value for key, value in resources.items() if key == "devices"}
    return config


FILES = ("resolv.conf", "hostname", "hosts")


def make(place: Path, config: Config) -> Path:
    """Write a bundle with a busybox root and return its path."""
    root = place / "rootfs"
    (root / "bin").mkdir(parents=True)
    for name in ("proc", "dev", "sys", "etc", "root"):
        (root / name).mkdir()
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("true", "sleep", "sh"):
        os.link(root / "bin/busybox", root / "bin" / name)
    for name in FILES:
        (place / name).write_text("127.0.0.1 bench\n")
    (place / "config.json").write_text(json.dumps(config))
    return place


def clear_devices(bundle: Path) -> None:
    """Empty the root's own /dev, which containers without a mount there have filled: runc 1.3 trips over its links."""
    for entry in (bundle / "rootfs/dev").iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
