"""The same bundle under Debian's runc and under railcar: what the container sees must be the same.

Every difference that remains is listed in `REASONS`.
"""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.root

LOOK = """
echo == mountinfo; cat /proc/self/mountinfo
echo == status; grep -E '^(Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap|SigBlk|SigIgn|Cpus_allowed_l)' /proc/1/status
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
echo == end
"""

# What may differ in the fields of a mount, and why.
REASONS = {
    "superblock": "railcar makes the mount read-only, not the filesystem that other mounts of its namespace share",
    "masks": "railcar masks files with the host's null device, and directories with one filesystem that allows nothing",
    "cgroup": "railcar makes the mount of the tmpfs above the hierarchies read-only, not only the filesystem",
    "propagation": "runc 1.1 leaves the root private; the specification asks for a shared one",
}
EXPECTED = {
    "plain": {"superblock"},
    "like_docker": {"superblock", "masks", "cgroup"},
    "another_user": {"superblock"},
    "readonly": {"superblock"},
    "in_a_user_namespace": {"superblock"},
    "propagated": {"superblock", "propagation"},
}

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
    return [line.replace(box.directory.name, "BUNDLE") for line in lines]


def explained(place: str, field: str, runc: Any, railcar: Any) -> str:
    """The reason in `REASONS` for a difference of two mounts; empty for none."""
    if field == "superblock" and set(runc) ^ set(railcar) == {"ro", "rw"}:
        return "superblock"
    if place in MASKED:
        return "masks"
    if (place, field) == ("/sys/fs/cgroup", "options") and set(runc) ^ set(railcar) == {"ro", "rw"}:
        return "cgroup"
    if (field, runc, railcar) == ("tags", [], ["shared"]):
        return "propagation"
    return ""


@pytest.mark.parametrize("kind", [plain, like_docker, another_user, readonly, in_a_user_namespace, propagated])
def test_the_container_sees_the_same_as_under_runc(
    box: Any, kind: Callable[[Any], None], mountinfo: Callable[[str], Any]
) -> None:
    runc = shutil.which("runc")
    if not runc:
        pytest.skip("needs runc (Debian: runc)")
    kind(box)
    original = copy.deepcopy(box.config)
    box._write(LOOK)
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

    assert reasons <= EXPECTED[kind.__name__]
