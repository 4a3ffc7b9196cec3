"""Which namespaces a container gets: new at birth, new a little later, or joined by path. namespaces(7)."""

from ocicommon.linux.namespaces import CLONE_NEWTIME, CLONE_NEWUSER, TYPES

from railcar.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Range = tuple[int, int, int]

#: The order of joining: the user namespace first gives the capabilities that the others ask for.
_ORDER = ("user", "cgroup", "ipc", "uts", "network", "pid", "mount", "time")


class Namespaces:
    """`new`: CLONE_NEW* flags that clone3 gets; `late`: those that stage 2 unshares itself, once it is in its cgroup
    and has its offsets (CLONE_NEWCGROUP, CLONE_NEWTIME). `joins`: (type, flag, path) in the order of joining.
    `uid_map`, `gid_map`: (inside, outside, size). `offsets`: clock name -> (seconds, nanoseconds).
    """

    __slots__ = ("gid_map", "joins", "late", "new", "offsets", "types", "uid_map")

    def __init__(self) -> None:
        self.new = 0
        self.late = 0
        self.joins: list[tuple[str, int, str]] = []
        self.types: list[str] = []
        self.uid_map: list[Range] = []
        self.gid_map: list[Range] = []
        self.offsets: dict[str, tuple[int, int]] = {}

    def path(self, kind: str) -> str:
        """The path by which a type is joined, or ""."""
        for name, _, path in self.joins:
            if name == kind:
                return path
        return ""

    @property
    def new_user(self) -> bool:
        return bool(self.new & CLONE_NEWUSER)

    @property
    def needs_intermediate(self) -> bool:
        """Joining a user namespace, or joining any other before a new one is made, is the work of a process between."""
        return bool(self.path("user")) or (self.new_user and bool(self.joins))


def plan(config: "dict[str, Any]", born_in_cgroup: bool) -> Namespaces:
    """Decide. `born_in_cgroup`: clone3 puts the child into its cgroup, so that a cgroup namespace may be new at birth.

    Raises ConfigError.
    """
    linux = config.get("linux") or {}
    result = Namespaces()
    listed = {entry["type"]: entry.get("path") or "" for entry in linux.get("namespaces") or ()}
    for kind in _ORDER:
        if kind not in listed:
            continue
        flag = TYPES[kind][0]
        result.types.append(kind)
        if listed[kind]:
            result.joins.append((kind, flag, listed[kind]))
        elif kind == "time" or (kind == "cgroup" and not born_in_cgroup):
            result.late |= flag
        else:
            result.new |= flag
    result.uid_map = ranges(linux.get("uidMappings"))
    result.gid_map = ranges(linux.get("gidMappings"))
    if result.new_user and not (result.uid_map and result.gid_map):
        raise ConfigError("a new user namespace needs linux.uidMappings and linux.gidMappings")
    if (result.uid_map or result.gid_map) and "user" not in listed:
        raise ConfigError('linux.uidMappings and gidMappings need a "user" namespace in linux.namespaces')
    for clock, offset in (linux.get("timeOffsets") or {}).items():
        if clock not in ("monotonic", "boottime"):
            raise ConfigError(f'linux.timeOffsets has "{clock}": the clocks are monotonic and boottime')
        result.offsets[clock] = (int(offset.get("secs") or 0), int(offset.get("nanosecs") or 0))
    if result.offsets and not result.late & CLONE_NEWTIME:
        raise ConfigError('linux.timeOffsets needs a new "time" namespace in linux.namespaces')
    return result


def ranges(mappings: "list[dict[str, Any]] | None") -> "list[Range]":
    """The mappings of config.json as (inside, outside, size)."""
    return [(entry["containerID"], entry["hostID"], entry["size"]) for entry in mappings or ()]


def map_text(ranges: "list[Range]") -> str:
    """The content of /proc/PID/uid_map."""
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in ranges)


def to_host(ranges: "list[Range]", number: int) -> int:
    """The id outside for an id inside; -1 when it is not mapped. Without ranges ids are the same."""
    if not ranges:
        return number
    for inside, outside, size in ranges:
        if inside <= number < inside + size:
            return outside + number - inside
    return -1


def offsets_text(offsets: "dict[str, tuple[int, int]]") -> str:
    """The content of /proc/PID/timens_offsets. time_namespaces(7)."""
    return "".join(f"{clock} {seconds} {nanoseconds}\n" for clock, (seconds, nanoseconds) in offsets.items())
