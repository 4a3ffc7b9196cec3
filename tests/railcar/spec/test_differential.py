"""The same bundle under Debian's runc and under railcar: what the container sees must be the same.

Every difference that remains is listed in `REASONS`.
"""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

LOOK = """
echo == mountinfo; cat /proc/self/mountinfo
echo == status; grep -E '^(Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap|Sig[BCIP]|ShdPnd|Cpus_allowed_l)' /proc/1/status
echo == devices; for i in $(ls /dev); do stat -c '%n %F %t:%T %a %u:%g %N' /dev/$i; done
echo == environment; tr '\\0' '\\n' < /proc/1/environ
echo == descriptors; ls /proc/1/fd
echo == limits; cat /proc/1/limits
echo == cgroup; sed 's/.*://' /proc/1/cgroup
echo == names; hostname; cat /proc/sys/kernel/domainname /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline | head -c 20
echo == place; pwd; readlink /proc/1/cwd; readlink /proc/1/root; cat /proc/1/oom_score_adj; cat /proc/1/loginuid
echo == session; awk '{print $4, $5, $6, $7, $8}' /proc/1/stat
echo == network; ls /sys/class/net 2>/dev/null; cat /proc/net/if_inet6 2>/dev/null | wc -l
echo == root; ls -la / | grep -v ' \\.\\.$' | awk '{print $1, $3, $4, $9}'
echo == maps; cat /proc/self/uid_map
echo == sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni
echo == keys; head -c 1 /proc/keys | wc -c
echo == sys; ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | wc -l
echo == groups; for f in $GROUP_FILES; do echo $f; cat /sys/fs/cgroup/$f 2>/dev/null; done
echo == devices.list; cat /sys/fs/cgroup/devices/devices.list 2>/dev/null
echo == scheduling; ionice -p 1; cat /proc/1/personality; awk '{print $18, $19, $40, $41}' /proc/1/stat
echo == offsets; cat /proc/1/timens_offsets
echo == writing; for f in /proc/sys/kernel/shmmax /sys/kernel/uevent_seqnum /etc/x /dev/shm/x /proc/sysrq-trigger; do
  (: >> $f) 2>/dev/null && echo $f can; done
echo == namespaces; for n in cgroup ipc mnt net pid user uts time; do readlink /proc/1/ns/$n; done
echo == end
"""

GROUP_FILES = """pids/pids.max memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.swappiness
cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems
blkio/blkio.throttle.read_bps_device memory/memory.oom_control"""
LOOK = LOOK.replace("$GROUP_FILES", " ".join(GROUP_FILES.split()))

# What may differ in the fields of a mount, and why.
REASONS = {
    "superblock": "railcar makes the mount read-only, not the filesystem that other mounts of its namespace share",
    "masks": "railcar masks files with the host's null device, and directories with one filesystem that holds nothing",
    "cgroup": "railcar makes the mount of the tmpfs above the hierarchies read-only, not only the filesystem",
    "hierarchy": "railcar binds the host's mount of a v1 hierarchy, with its source; runc makes a new mount",
    "unified": "railcar binds the container's group of cgroup v2; runc mounts the hierarchy, whole without a namespace",
    "propagation": "runc 1.1 leaves the root private; the specification asks for a shared one",
}
EXPECTED = {
    "like_docker": {"superblock", "masks", "cgroup"},
    "propagated": {"superblock", "propagation"},
    "cgroup_namespace": {"superblock", "cgroup", "hierarchy"},
    "devices_and_paths": {"superblock", "masks"},
    "namespaces_of_a_user": {"superblock", "masks", "cgroup", "hierarchy"},
}

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()
MASKED = ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi"]


def plain(box: Any) -> None:
    box.config["process"]["cwd"] = "/work"


def like_docker(box: Any) -> None:
    config = box.config
    config["hostname"] = "box"
    config["process"]["env"] = ["PATH=/bin", "A=1", "B=two words", "A=3"]
    config["process"]["noNewPrivileges"] = True
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 256, "hard": 512}]
    config["process"]["oomScoreAdj"] = 100
    config["process"]["user"] = {"uid": 0, "gid": 0, "additionalGids": [10, 20], "umask": 0o27}
    config["linux"]["maskedPaths"] = MASKED
    config["linux"]["readonlyPaths"] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "99"}
    config["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660}]
    box.add("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")
    box.add("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    (box.directory / "data").mkdir()
    box.add("/data", "", str(box.directory / "data"), "rbind", "rprivate")
    box.add("/data-ro", "", str(box.directory / "data"), "rbind", "ro", "rprivate")
    box.add("/tmp", "tmpfs", "tmpfs", "size=1m", "mode=1777", "noatime")


def another_user(box: Any) -> None:
    box.config["process"]["user"] = {"uid": 1000, "gid": 1001}
    box.config["process"]["capabilities"]["ambient"] = ["CAP_KILL"]
    box.config["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]
    (box.root / "etc").mkdir()
    (box.root / "etc/passwd").write_text("someone:x:1000:1001::/home/someone:/bin/sh\n")


def readonly(box: Any) -> None:
    box.config["root"]["readonly"] = True
    for name in ("proc", "sys", "dev"):
        (box.root / name).mkdir()


def in_a_user_namespace(box: Any) -> None:
    box.user_namespace()


def propagated(box: Any) -> None:
    box.config["linux"]["rootfsPropagation"] = "rshared"


def cgroup_namespace(box: Any) -> None:
    box.config["linux"]["namespaces"].append({"type": "cgroup"})
    box.add("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")


def writable_cgroups(box: Any) -> None:
    box.add("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev")


def limited(box: Any) -> None:
    writable_cgroups(box)
    box.config["linux"]["resources"] = {
        "pids": {"limit": 77},
        "memory": {"limit": 256 << 20, "reservation": 128 << 20, "swappiness": 10},
        "cpu": {"shares": 321, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": True, "type": "b", "major": 7, "minor": 1, "access": "r"},
        ],
    }


def everything_denied(box: Any) -> None:
    writable_cgroups(box)
    box.config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}


def hosts_network(box: Any) -> None:
    without(box, "network")


def hosts_pids(box: Any) -> None:
    without(box, "pid")


def hosts_ipc_and_names(box: Any) -> None:
    without(box, "ipc")
    without(box, "uts")


def without(box: Any, kind: str) -> None:
    linux = box.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != kind]


def filtered(box: Any) -> None:
    box.config["process"]["noNewPrivileges"] = True
    box.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["kexec_load", "reboot"], "action": "SCMP_ACT_ERRNO"}],
    }


def no_capabilities(box: Any) -> None:
    box.config["process"]["capabilities"] = {}


def capabilities_of_a_user(box: Any) -> None:
    box.config["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9, 8, 1000000]}
    box.config["process"]["env"] = ["PATH=/bin", "HOME=", "EMPTY=", "UNICODE=\u00e4\u4e2d"]


def limits_and_masks(box: Any) -> None:
    kinds = ("AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "RSS", "RTPRIO")
    big = 1 << 40
    box.config["process"]["rlimits"] = [
        {"type": f"RLIMIT_{kind}", "soft": 0 if kind in ("NICE", "RTPRIO") else 900, "hard": 0}
        | ({"hard": 1000} if kind not in ("NICE", "RTPRIO") else {})
        | ({"soft": big, "hard": big} if kind in ("AS", "DATA", "RSS", "FSIZE") else {})
        for kind in kinds
    ]
    box.config["process"]["user"] = {"uid": 0, "gid": 0, "umask": 0}
    box.config["process"]["oomScoreAdj"] = 1000


def many_mounts(box: Any) -> None:
    (box.directory / "data/below").mkdir(parents=True)
    (box.directory / "file").write_text("x")
    data, file = str(box.directory / "data"), str(box.directory / "file")
    box.add("/deep/er/data", "", data, "rbind", "nosuid", "nodev", "noexec", "noatime")
    box.add("/file", "", file, "bind", "ro")
    box.add("/etc/conf/file", "", file, "bind", "nodiratime")
    box.add("/shared", "", data, "rbind", "rshared")
    box.add("/slave", "", data, "bind", "slave")
    box.add("/unbindable", "", data, "bind", "unbindable")
    box.add("/t", "tmpfs", "tmpfs", "ro", "nr_inodes=10", "uid=5", "gid=6", "mode=700", "strictatime")
    box.add("/t2", "tmpfs", "tmpfs", "noexec", "nosuid", "nodev", "size=64k", "sync")
    box.add("/mq", "mqueue", "mqueue")
    box.add("/dev/link/../beside", "tmpfs", "tmpfs", "size=4k")
    box.config["linux"]["rootfsPropagation"] = "private"


def links_in_the_root(box: Any) -> None:
    (box.root / "real").mkdir()
    (box.root / "link").symlink_to("real")
    (box.root / "absolute").symlink_to("/real/absolute")
    (box.root / "up").symlink_to("../../../../up-there")
    for place in ("/link/a", "/absolute", "/up"):
        box.add(place, "tmpfs", "tmpfs", "size=4k")


def devices_and_paths(box: Any) -> None:
    box.config["linux"]["devices"] = [
        {"path": "/dev/a/b", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 3, "gid": 4},
        {"path": "/dev/loop", "type": "b", "major": 7, "minor": 9},
        {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o444},
    ]
    box.config["linux"]["maskedPaths"] = ["/proc/keys", "/sys/firmware", "/no/such/path", "/proc/scsi"]
    box.config["linux"]["readonlyPaths"] = ["/proc/sys", "/bin", "/no/such/path", "/dev/shm"]


def namespaces_of_a_user(box: Any) -> None:
    """What an engine makes with user namespaces: cgroups, devices and a volume in one."""
    in_a_user_namespace(box)
    cgroup_namespace(box)
    (box.directory / "data").mkdir()
    box.add("/data", "", str(box.directory / "data"), "rbind", "ro")
    box.config["linux"]["maskedPaths"] = MASKED
    box.config["linux"]["readonlyPaths"] = ["/proc/sys"]
    box.config["root"]["readonly"] = True
    for name in ("proc", "sys", "dev", "data", "work"):
        (box.root / name).mkdir(exist_ok=True)


def sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    return found


def normalized(name: str, lines: list[str], box: Any, parse: Callable[[str], Any]) -> Any:
    if name == "mountinfo":
        mounts = parse("\n".join(lines))
        for mount in mounts.values():
            mount["root"] = mount["root"].replace(box.directory.name, "BUNDLE")
            mount["options"] = sorted(mount["options"].split(","))
            mount["superblock"] = sorted(mount["superblock"].split(","))
            mount["tags"] = sorted(tag.split(":")[0] for tag in mount["tags"].split())
        return mounts
    if name == "namespaces":
        hosts = {os.readlink(f"/proc/self/ns/{entry.name}") for entry in os.scandir("/proc/self/ns")}
        return [line if line in hosts else line.partition(":")[0] + ": its own" for line in lines]
    if name in ("devices.list", "environment"):
        return sorted(set(lines))  # their order differs between releases of runc
    return [line.replace(box.directory.name, "BUNDLE") for line in lines]


def explained(place: str, field: str, runc: Any, railcar: Any) -> str:
    """The reason in `REASONS` for a difference of two mounts; empty for none."""
    if field == "superblock" and set(runc) ^ set(railcar) == {"ro", "rw"}:
        return "superblock"
    if place in MASKED:
        return "masks"
    if (place, field) == ("/sys/fs/cgroup", "options") and set(runc) ^ set(railcar) == {"ro", "rw"}:
        return "cgroup"
    if place == "/sys/fs/cgroup" and field in ("root", "source", "tags") and UNIFIED:
        return "unified"
    if (field, runc, railcar) == ("tags", [], ["shared"]):
        return "propagation"
    if field == "source" and place.startswith("/sys/fs/cgroup/"):
        return "hierarchy"
    return ""


KINDS = [
    plain,
    like_docker,
    another_user,
    readonly,
    in_a_user_namespace,
    propagated,
    cgroup_namespace,
    writable_cgroups,
    limited,
    everything_denied,
    hosts_network,
    hosts_pids,
    hosts_ipc_and_names,
    filtered,
    no_capabilities,
    capabilities_of_a_user,
    limits_and_masks,
    many_mounts,
    links_in_the_root,
    devices_and_paths,
    namespaces_of_a_user,
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_container_sees_the_same_as_under_runc(
    box: Any, kind: Callable[[Any], None], mountinfo: Callable[[str], Any]
) -> None:
    runc = shutil.which("runc")
    if not runc:
        pytest.skip("needs runc (Debian: runc)")
    kind(box)
    original = copy.deepcopy(box.config)
    box._write(LOOK)
    # What one makes in the root, the other must not find there.
    subprocess.run(["cp", "-a", box.root, box.directory / "fresh"], check=True)
    probe = subprocess.run(
        [runc, "--root", str(box.directory / "runc"), "run", "--bundle", str(box.directory), box.directory.name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if probe.returncode:
        pytest.skip(f"runc cannot run this bundle here: {probe.stderr.strip()[:200]}")
    box.config = original
    shutil.rmtree(box.root)
    (box.directory / "fresh").rename(box.root)
    ours = sections(box.run(LOOK).stdout)
    theirs = sections(probe.stdout)
    assert list(ours) == list(theirs)
    differences = []
    reasons = set()
    for name in theirs:
        one, other = (normalized(name, found[name], box, mountinfo) for found in (theirs, ours))
        if one == other:
            continue
        if name != "mountinfo":
            differences.append((name, sorted(set(one) - set(other)), sorted(set(other) - set(one))))
            continue
        for place in sorted({*one, *other}):
            a, b = one.get(place, {}), other.get(place, {})
            for field in sorted({*a, *b}):
                if a.get(field) != b.get(field):
                    reason = explained(place, field, a.get(field, ()), b.get(field, ()))
                    reasons.add(reason)
                    if not reason:
                        differences.append((f"{place} {field}", a.get(field), b.get(field)))
    assert differences == [], json.dumps(differences, indent=1)

    assert reasons - {"unified"} <= EXPECTED.get(kind.__name__, {"superblock"})
