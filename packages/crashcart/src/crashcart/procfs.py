"""What the host's /proc says about a process. proc(5). Reading is thin, understanding is pure."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def read(path: str, directory: int | None = None) -> bytes:
    """A whole small file, below an open directory where one is given. OSError as from open."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def pids() -> Iterator[int]:
    """Every process that this /proc shows."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def start_time(pid: int) -> int:
    """When it started, in clock ticks since boot (field 22 of stat): with the pid, its identity. OSError when gone."""
    return parse_start_time(read(f"/proc/{pid}/stat"))


def parse_start_time(stat: bytes) -> int:
    """Field 22; the command's name in field 2 may hold anything, so fields count from its closing parenthesis."""
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def parent(pid: int) -> int:
    """Who is its parent. OSError when gone."""
    stat = read(f"/proc/{pid}/stat")
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def children(pid: int) -> list[int]:
    """The children of a process's first thread, also those that have ended and were not waited for. OSError."""
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def is_first(status: bytes) -> bool:
    """Whether /proc/PID/status is of the first process of a pid namespace below ours."""
    for line in status.splitlines():
        if line.startswith(b"NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == b"1"
    return False


def started(pid: int) -> float:
    """When it started, in seconds since the epoch, to about a tick. OSError when gone."""
    boot = next(line for line in read("/proc/stat").splitlines() if line.startswith(b"btime "))
    return int(boot.split()[1]) + start_time(pid) / os.sysconf("SC_CLK_TCK")


_EXITING = 0x4  # PF_EXITING of the kernel's task flags


def has_ended(stat: bytes) -> bool:
    """Whether /proc/PID/stat is of a process that has ended, or is about to: the first one of a pid namespace waits, as
    it ends, for all others to be reaped."""
    fields = stat[stat.rindex(b")") + 2 :].split()
    return fields[0] in (b"Z", b"X") or bool(int(fields[6]) & _EXITING)


class Status:
    """What of /proc/PID/status matters: capability sets as bits, ids as the host counts them."""

    __slots__ = (
        "ambient",
        "bounding",
        "effective",
        "filters",
        "gid",
        "inheritable",
        "no_new_privs",
        "permitted",
        "seccomp",
        "uid",
    )

    def __init__(self, text: bytes) -> None:
        fields = dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)

        def bits(name: bytes) -> int:
            return int(fields.get(name, b"0"), 16)

        self.uid = int(fields[b"Uid"].split()[1])
        self.gid = int(fields[b"Gid"].split()[1])
        self.effective = bits(b"CapEff")
        self.permitted = bits(b"CapPrm")
        self.inheritable = bits(b"CapInh")
        self.bounding = bits(b"CapBnd")
        self.ambient = bits(b"CapAmb")
        self.no_new_privs = fields.get(b"NoNewPrivs", b"0").strip() == b"1"
        self.seccomp = int(fields.get(b"Seccomp", b"0"))
        #: How many filters; before Linux 5.9 that is not told, and 1 where there is any.
        self.filters = int(fields.get(b"Seccomp_filters", b"1" if self.seccomp == 2 else b"0"))


def status(pid: int) -> Status:
    """OSError when the process is gone."""
    return Status(read(f"/proc/{pid}/status"))


def namespace(pid: int | str, name: str) -> tuple[int, int]:
    """(device, inode) of a namespace of a process: equal for the same namespace only."""
    found = os.stat(f"/proc/{pid}/ns/{name}")
    return found.st_dev, found.st_ino


def cgroups(text: bytes) -> dict[str, str]:
    """/proc/PID/cgroup as {controllers: path}; the unified hierarchy has the key ''."""
    found = {}
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        _, controllers, path = line.split(":", 2)
        found[controllers] = path
    return found


def cgroup_mounts(mountinfo: bytes) -> dict[str, str]:
    """Where each hierarchy is mounted whole: {controllers as in /proc/PID/cgroup: directory}, '' for cgroup2."""
    found: dict[str, str] = {}
    for line in mountinfo.decode("utf-8", "surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _source, options = rest.split(" ", 2)
        root, where = fields.split(" ")[3:5]
        if root != "/":
            continue
        if kind == "cgroup2":
            found.setdefault("", where)
        elif kind == "cgroup":
            names = [
                name for name in options.split(",") if name not in ("rw", "ro", "xattr", "noprefix", "clone_children")
            ]
            names = [name for name in names if not name.startswith("release_agent=")]
            found.setdefault(",".join(names), where)
    return found


def cgroup_directories(pid: int) -> dict[str, str]:
    """The cgroup directories of a process on this host, by controllers; those that are not mounted are left out."""
    mounts = cgroup_mounts(read("/proc/self/mountinfo"))
    paths = cgroups(read(f"/proc/{pid}/cgroup"))
    return {name: mounts[name] + path for name, path in paths.items() if name in mounts}


class IdMap:
    """A user namespace's mapping (uid_map or gid_map, as seen from here)."""

    __slots__ = ("ranges",)

    def __init__(self, text: bytes) -> None:
        self.ranges = [tuple(int(field) for field in line.split()) for line in text.splitlines()]

    def inside(self, outside: int) -> int | None:
        """What an id of the host is called inside; None when it is not mapped."""
        for first, host, count in self.ranges:
            if host <= outside < host + count:
                return first + outside - host
        return None

    def first(self) -> int:
        """The id to be inside: 0, or where there is none, the lowest."""
        return min((first for first, _, _ in self.ranges), default=0)


def id_maps(pid: int) -> tuple[IdMap, IdMap]:
    """(users, groups) of the user namespace of a process."""
    return IdMap(read(f"/proc/{pid}/uid_map")), IdMap(read(f"/proc/{pid}/gid_map"))


def groups(pid: int) -> list[int]:
    """The supplementary groups, as the host counts them."""
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"Groups:"):
            return [int(word) for word in line.split()[1:]]
    return []


def environment(pid: int) -> dict[bytes, bytes]:
    """The environment the process was started with; empty when it may not be read."""
    try:
        text = read(f"/proc/{pid}/environ")
    except OSError:
        return {}
    return dict(entry.split(b"=", 1) for entry in text.split(b"\0") if b"=" in entry)


def is_frozen(pid: int) -> bool:
    """Whether the process's cgroup (of the v1 freezer, or of cgroup2) is frozen, by itself or from above."""
    directories = cgroup_directories(pid)
    for name, file, yes in (("freezer", "freezer.state", b"FROZEN"), ("", "cgroup.events", b"frozen 1")):
        if name in directories:
            try:
                if yes in read(f"{directories[name]}/{file}"):
                    return True
            except OSError:
                continue
    return False
