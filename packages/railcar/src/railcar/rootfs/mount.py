"""One mount of a container, as data: what planning decides, and the steps do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.rootfs.options import Options

    #: first id in the container, first id on the host, how many
    Mapping = tuple[int, int, int]


class Mount:
    """One mount to be made.

    ``what``: "bind", "new" (a filesystem of ``type``), "remount" or "link" (a symbolic link ``destination`` ->
    ``source``: the aliases of cgroup v1). ``index`` is the place in config.json, for errors. ``inside``: the source of
    a bind only exists after the clone (a cgroup, an earlier mount), so it is opened there. ``late_readonly``: made
    writable first, since other mount points are made in it. ``id_space``: path of the user namespace whose maps an
    idmapped bind takes, where it has none of its own.
    """

    __slots__ = (
        "destination",
        "gid_mappings",
        "id_space",
        "index",
        "inside",
        "late_readonly",
        "options",
        "source",
        "type",
        "uid_mappings",
        "what",
    )

    def __init__(self, index: int, what: str, destination: str, kind: str, source: str, options: Options) -> None:
        self.index = index
        self.what = what
        self.destination = destination
        self.type = kind
        self.source = source
        self.options = options
        self.inside = False
        self.late_readonly = False
        self.id_space = ""
        self.uid_mappings: list[Mapping] = []
        self.gid_mappings: list[Mapping] = []

    def name(self) -> str:
        """How errors call it."""
        return f"mounts[{self.index}] {self.type or self.what} on {self.destination}"
