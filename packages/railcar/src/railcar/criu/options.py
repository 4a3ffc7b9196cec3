"""What `checkpoint` and `restore` ask of criu, decided from the configuration. Nothing is run here."""

import os

from ocicommon.linux.namespaces import CLONE_NEWNET

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What --manage-cgroups-mode can be, and criu's number for it; its own default is soft as well.
MODES = {"soft": 3, "full": 4, "strict": 5, "ignore": 0}
#: Namespaces entered by path that criu takes as things from outside: type -> (its name in criu, the key in the image).
_OUTSIDE = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}
_JOINED = {"ipc": "ipc", "uts": "uts"}
#: The annotation that names a file of criu's options; else the first of these that is there, runc's for its users.
CONFIG = "org.criu.config"
SETTINGS = ("/etc/criu/railcar.conf", "/etc/criu/runc.conf")


class Request:
    """What the command line asks for. `image` and `work` are absolute; `parent` is relative to `image`, or "".

    `flags` and `values` are further options by the names of criu's protocol: tcp_established, lsm_profile and so on.
    `status`: a descriptor that gets a NUL when a lazy dump is ready to serve its pages; -1 for none.
    """

    __slots__ = (
        "cgroups_mode",
        "empty_network",
        "flags",
        "image",
        "leave_running",
        "page_server",
        "parent",
        "pre_dump",
        "status",
        "values",
        "work",
    )

    def __init__(self, image: str, work: str = "") -> None:
        self.image, self.work = image, work or image
        self.parent = ""
        self.flags: list[str] = []
        self.values: dict[str, str] = {}
        self.cgroups_mode = "soft"
        self.page_server: tuple[str, int] | None = None
        self.status = -1
        self.empty_network = self.leave_running = self.pre_dump = False


def mode(text: str) -> str:
    """A mode of handling cgroups. Raises RailcarError."""
    if text not in MODES:
        raise RailcarError(f"--manage-cgroups-mode is {text}: it can be {', '.join(MODES)}")
    return text


def binds(
    mounts: "list[dict[str, Any]]", bundle: str, cgroups: "Callable[[dict[str, Any]], list[dict[str, Any]]]"
) -> "list[tuple[str, str]]":
    """(destination, source) of each mount that comes from outside: binds, and what a cgroup mount becomes."""
    found = []
    for mount in mounts:
        parts = cgroups(mount) if mount.get("type") in ("cgroup", "cgroup2") else [mount]
        for part in parts:
            options = part.get("options") or ()
            if part.get("type") not in ("bind", "remount", "symlink") and not {"bind", "rbind"} & set(options):
                continue
            if part.get("type") in ("remount", "symlink") or "remount" in options:
                continue
            source = os.path.normpath(os.path.join(bundle, part.get("source") or ""))
            found.append((os.path.normpath("/" + part["destination"].strip("/")), source))
    return found


def masked(paths: "list[str]", mountinfo: str) -> list[str]:
    """Those masked paths that are files under the null device; directories are under a tmpfs of their own."""
    over = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        over[before.split()[4]] = after.split()[0]
    return [path for path in paths if path in over and over[path] != "tmpfs"]


def stream(link: str, fdinfo: str, inode: int, mountinfo: str) -> str:
    """What a descriptor is: for a file on a mount that the container has not, criu's key, a space and its path."""
    number = next((line.split()[1] for line in fdinfo.splitlines() if line.startswith("mnt_id:")), "0")
    if not link.startswith("/") or any(line.split(None, 1)[0] == number for line in mountinfo.splitlines()):
        return link
    return f"file[{int(number):x}:{inode:x}] {link}"


def handed_on(stream: str) -> bool:
    """Whether a restore has to give this stream to criu."""
    return stream.startswith("file[") or "pipe:" in stream


def _namespaces(config: "dict[str, Any]") -> "list[tuple[str, str]]":
    listed = (config.get("linux") or {}).get("namespaces") or ()
    return [(entry["type"], entry["path"]) for entry in listed if entry.get("path")]


def _common(config: "dict[str, Any]", request: Request, log: str) -> "dict[str, Any]":
    options: dict[str, Any] = {
        "log_file": log,
        "log_level": 4,
        "notify_scripts": True,
        "orphan_pts_master": True,
        "manage_cgroups_mode": MODES[request.cgroups_mode],
    }
    settings = (config.get("annotations") or {}).get(CONFIG)
    settings = settings or next((path for path in SETTINGS if os.path.isfile(path)), "")
    if settings:
        options["config_file"] = settings
    options.update(dict.fromkeys(request.flags, True))
    options.update(request.values)
    # What hooks of the host put into the network namespace has its other end out of criu's reach: they run again.
    hooks = config.get("hooks") or {}
    if request.empty_network or hooks.get("prestart") or hooks.get("createRuntime"):
        options["empty_ns"] = CLONE_NEWNET
    return options


def dump(
    config: "dict[str, Any]",
    request: Request,
    *,
    pid: int,
    rootfs: str,
    freezer: str,
    external: list[str],
    streams: list[str],
    inode: "Callable[[str], int]",
) -> "dict[str, Any]":
    """The options of a dump. `external`: mount points of what is from outside; `streams`: what 0, 1 and 2 are;
    `inode`: the number of a file by its path."""
    options = _common(config, request, "dump.log")
    options |= {"pid": pid, "root": rootfs}
    if freezer:
        options["freeze_cgroup"] = freezer
    if request.leave_running:
        options["leave_running"] = True
    if request.pre_dump or request.parent:
        options["track_mem"] = True
    if request.parent:
        options["parent_img"] = request.parent
    if request.page_server:
        address, port = request.page_server
        options["ps"] = {"address": address, "port": port}
    keys = []
    for kind, path in _namespaces(config):
        if kind in _OUTSIDE:
            name, key = _OUTSIDE[kind]
            keys.append(f"{name}[{inode(path)}]:{key}")
    keys += [stream.partition(" ")[0] for stream in dict.fromkeys(streams) if stream.startswith("file[")]
    if not request.pre_dump:
        keys += [f"mnt[{point}]:{point}" for point in external]
    options["external"] = keys
    return options


def restore(
    config: "dict[str, Any]",
    request: Request,
    *,
    root: str,
    external: "list[tuple[str, str]]",
    inherited: dict[str, int],
    groups: str,
    opened: "Callable[[str], int]",
) -> "dict[str, Any]":
    """The options of a restore. The restored process becomes a child of criu's parent.

    `external`: (mount point, source); `inherited`: what a stream was, to a descriptor of criu's; `groups`:
    /proc/self/cgroup of the process that becomes criu; `opened`: a descriptor, to be inherited, of the file at a path.
    """
    options = _common(config, request, "restore.log")
    options |= {"root": root, "evasive_devices": True, "rst_sibling": True}
    options["external"] = [f"mnt[{point}]:{source}" for point, source in external]
    handed = [{"key": stream.partition(" ")[0], "fd": fd} for stream, fd in inherited.items()]
    joined = []
    for kind, path in _namespaces(config):
        if kind in _OUTSIDE:
            handed.append({"key": _OUTSIDE[kind][1], "fd": opened(path)})
        elif kind in _JOINED:
            joined.append({"ns": _JOINED[kind], "ns_file": path})
        else:
            raise RailcarError(f"restore: criu cannot enter a {kind} namespace by path ({path})")
    options |= {"inherit_fd": handed, "join_ns": joined}
    roots = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        roots.append({"ctrl": controllers, "path": path} if controllers else {"path": path})
    options["cg_root"] = roots
    return options


def complaint(text: str) -> str:
    """The last lines of a log that speak of an error."""
    lines = [line.strip() for line in text.splitlines() if "Error" in line and "RLIMIT_NOFILE" not in line]
    return "; ".join(lines[-4:])
