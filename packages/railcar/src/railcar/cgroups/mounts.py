"""What a mount of type ``cgroup`` in a configuration becomes: binds of the container's own groups.

A bind shows what a fresh mount in the container's cgroup namespace would show, needs no right over the hierarchy,
and takes a fiftieth of the time.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = ("ro", "rw", "nosuid", "nodev", "noexec", "relatime", "noatime", "rro")


def mounts_for(mode: str, paths: dict[str, str], mount: "dict[str, Any]") -> "list[dict[str, Any]]":
    """What ``mount`` becomes where a group of this mode has these directories (controller -> directory): mounts in
    the shape of the configuration, in order. Their sources are directories of the host, opened before the clone.

    cgroup v2 (and a mount of type cgroup2): one bind. cgroup v1 and hybrid: a tmpfs, a bind for each hierarchy under
    its usual name, and for hierarchies of several controllers an entry of type ``symlink`` for each (source: the
    link's text); the entry of type ``remount`` then makes the tmpfs read-only if the mount shall be.
    """
    destination = mount["destination"].rstrip("/")
    options = [option for option in mount.get("options") or [] if option in FLAGS]
    safe = [option for option in ("nosuid", "nodev", "noexec") if option not in options]
    unified = paths.get("unified")
    if unified and (mode == "v2" or mount.get("type") == "cgroup2"):
        return [{"destination": destination, "type": "bind", "source": unified, "options": ["bind", *safe, *options]}]
    binds: list[dict[str, Any]] = []
    together: dict[str, list[str]] = {}
    for controller, path in paths.items():
        if controller != "unified":
            together.setdefault(path, []).append(controller)
    by_path: dict[str, list[str]] = {}
    for path, controllers in together.items():
        by_path[path] = sorted(name.removeprefix("name=") for name in controllers)
    for path, names in by_path.items():
        name = ",".join(names)
        binds.append(
            {
                "destination": f"{destination}/{name}",
                "type": "bind",
                "source": path,
                "options": ["bind", *safe, *options],
            }
        )
        if len(names) > 1:
            binds += [{"destination": f"{destination}/{link}", "type": "symlink", "source": name} for link in names]
    result: list[dict[str, Any]] = [
        {
            "destination": destination,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": [*safe, *(option for option in options if option not in ("ro", "rro")), "mode=755"],
        },
        *binds,
    ]
    if "ro" in options or "rro" in options:
        result.append(
            {
                "destination": destination,
                "type": "remount",
                "source": "",
                "options": ["remount", "bind", *safe, *options],
            }
        )
    return result
