"""Which cgroup hierarchies this process sees, and where it stands in them: mountinfo(5) and cgroups(7), from one
read."""

from railcar.cgroups import files

# What systemd and other users of a machine without controllers in a hierarchy call it.
SYSTEMD = "name=systemd"


class Hierarchy:
    """One mounted hierarchy: its mount point, the group of this process below it, and its controllers (v1)."""

    __slots__ = ("controllers", "mount", "own")

    def __init__(self, mount: str, own: str, controllers: tuple[str, ...]) -> None:
        self.mount = mount
        self.own = own
        self.controllers = controllers

    def path(self, group: str) -> str:
        """The directory of a group: absolute below the mount point, relative below the group of this process."""
        inner = group if group.startswith("/") else f"{self.own}/{group}"
        return self.mount + clean(inner)


class Layout:
    """``mode`` is ``v1``, ``hybrid`` (v1 beside a unified hierarchy) or ``v2``; ``none`` when nothing is mounted."""

    __slots__ = ("hierarchies", "mode", "unified", "unified_controllers")

    def __init__(self, hierarchies: list[Hierarchy], unified: Hierarchy | None, controllers: tuple[str, ...]) -> None:
        self.hierarchies = hierarchies
        self.unified = unified
        self.unified_controllers = controllers
        if hierarchies:
            self.mode = "hybrid" if unified else "v1"
        else:
            self.mode = "v2" if unified else "none"

    def controller(self, name: str) -> Hierarchy | None:
        """The v1 hierarchy that holds a controller, or None."""
        for hierarchy in self.hierarchies:
            if name in hierarchy.controllers:
                return hierarchy
        return None


def clean(path: str) -> str:
    """An absolute path without empty, ``.`` and ``..`` parts; the root is the empty string. ``..`` never climbs
    above it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "".join("/" + part for part in parts)


def _unescape(path: str) -> str:
    if "\\" not in path:
        return path
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def _below(own: str, root: str) -> str:
    """The group of this process as seen below a mount whose root is itself a group."""
    if root == "/":
        return clean(own)
    if own == root or own.startswith(root + "/"):
        return clean(own[len(root) :])
    return ""


def parse(mountinfo: str, groups: str, controllers: str = "") -> Layout:
    """The layout told by the texts of /proc/self/mountinfo, /proc/self/cgroup and the unified cgroup.controllers."""
    own: dict[str, str] = {}
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            own[""] = path
            continue
        members = tuple(names.split(","))
        for name in members:
            own[name] = path
    # mount point -> (root, kind, controllers): a later mount hides those at and below its own mount point
    seen: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        if not tail:
            continue
        place = fields.split(" ")
        mount = _unescape(place[4])
        if seen:
            for hidden in [other for other in seen if other == mount or other.startswith(mount.rstrip("/") + "/")]:
                del seen[hidden]
        if not tail.startswith("cgroup"):
            continue
        kind, _, rest = tail.partition(" ")
        if kind == "cgroup2":
            seen[mount] = (_unescape(place[3]), kind, ())
        elif kind == "cgroup":
            options = rest.rpartition(" ")[2].split(",")
            seen[mount] = (_unescape(place[3]), kind, tuple(name for name in options if name in own))
    unified: Hierarchy | None = None
    hierarchies: dict[tuple[str, ...], Hierarchy] = {}
    for mount, (root, kind, members) in seen.items():
        if kind == "cgroup2":
            if unified is None:
                unified = Hierarchy(mount, _below(own.get("", "/"), root), ())
        elif members and members not in hierarchies:
            hierarchies[members] = Hierarchy(mount, _below(own[members[0]], root), members)
    return Layout(list(hierarchies.values()), unified, tuple(controllers.split()))


def find() -> Layout:
    """The layout of this process."""
    layout = parse(files.read("/proc/self/mountinfo"), files.read("/proc/self/cgroup"))
    if layout.unified:
        layout.unified_controllers = tuple(files.read_or(layout.unified.mount + "/cgroup.controllers", "").split())
    return layout
