"""Command lines of criu(8) for `checkpoint` and `restore`, decided from the configuration. Nothing is run here."""

import os

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What --manage-cgroups-mode can be; criu's own default is soft as well.
MODES = ("soft", "full", "strict", "ignore")
#: Namespaces entered by path that criu takes as things from outside: type -> (its name in criu, the key in the image).
_OUTSIDE = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}
_JOINED = {"ipc": "ipc", "uts": "uts"}
CONFIG = "org.criu.config"


class Request:
    """What the command line asks for. `image` and `work` are absolute; `parent` is relative to `image`, or "".

    `flags` are those options of criu that have no value: tcp-established, ext-unix-sk, shell-job and so on. `values`
    are further pairs of option and value.
    """

    __slots__ = (
        "cgroups_mode",
        "empty_network",
        "flags",
        "image",
        "leave_running",
        "parent",
        "pre_dump",
        "values",
        "work",
    )

    def __init__(self, image: str, work: str = "") -> None:
        self.image, self.work = image, work or image
        self.parent = ""
        self.flags: list[str] = []
        self.values: list[tuple[str, str]] = []
        self.cgroups_mode = "soft"
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


def _common(program: str, verb: str, config: "dict[str, Any]", request: Request, log: str) -> list[str]:
    argv = [program, verb, "--images-dir", request.image, "--work-dir", request.work, "--log-file", log, "-v4"]
    settings = (config.get("annotations") or {}).get(CONFIG)
    if settings:
        argv += ["--config", settings]
    argv += [f"--{flag}" for flag in request.flags]
    for name, value in request.values:
        argv += [f"--{name}", value]
    if request.empty_network:
        argv += ["--empty-ns", "net"]
    return [*argv, f"--manage-cgroups={request.cgroups_mode}"]


def dump(
    program: str,
    config: "dict[str, Any]",
    request: Request,
    *,
    pid: int,
    rootfs: str,
    freezer: str,
    external: list[str],
    streams: list[str],
    inode: "Callable[[str], int]",
) -> list[str]:
    """argv of the dump. `external`: mount points of what is from outside; `streams`: what
    0, 1 and 2 are; `inode`: the number of a file by its path."""
    argv = _common(program, "pre-dump" if request.pre_dump else "dump", config, request, "dump.log")
    argv += ["--tree", str(pid), "--root", rootfs]
    if freezer:
        argv += ["--freeze-cgroup", freezer]
    if request.leave_running:
        argv.append("--leave-running")
    if request.pre_dump or request.parent:
        argv.append("--track-mem")
    if request.parent:
        argv += ["--prev-images-dir", request.parent]
    for kind, path in _namespaces(config):
        if kind in _OUTSIDE:
            name, key = _OUTSIDE[kind]
            argv += ["--external", f"{name}[{inode(path)}]:{key}"]
    for stream in dict.fromkeys(streams):
        if stream.startswith("file["):
            argv += ["--external", stream.partition(" ")[0]]
    if not request.pre_dump:
        for point in external:
            argv += ["--external", f"mnt[{point}]:{point}"]
    return argv


def restore(
    program: str,
    config: "dict[str, Any]",
    request: Request,
    *,
    root: str,
    pid_file: str,
    external: "list[tuple[str, str]]",
    inherited: dict[str, int],
    groups: str,
    opened: "Callable[[str], int]",
) -> list[str]:
    """argv of the restore. The restored process becomes a child of criu's parent.

    `external`: (mount point, source); `inherited`: what a stream was, to a descriptor of ours; `groups`:
    /proc/self/cgroup of the process that becomes criu; `opened`: a descriptor, to be inherited, of the file at a path.
    """
    argv = _common(program, "restore", config, request, "restore.log")
    argv += ["--root", root, "--evasive-devices", "--restore-detached", "--restore-sibling", "--pidfile", pid_file]
    for point, source in external:
        argv += ["--external", f"mnt[{point}]:{source}"]
    for stream, fd in inherited.items():
        key = stream.partition(" ")[0]
        argv += ["--inherit-fd", f"fd[{fd}]:{key}"]
    for kind, path in _namespaces(config):
        if kind in _OUTSIDE:
            argv += ["--inherit-fd", f"fd[{opened(path)}]:{_OUTSIDE[kind][1]}"]
        elif kind in _JOINED:
            argv += ["--join-ns", f"{_JOINED[kind]}:{path}"]
        else:
            raise RailcarError(f"restore: criu cannot enter a {kind} namespace by path ({path})")
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        argv += ["--cgroup-root", f"{controllers}:{path}" if controllers else path]
    return argv


def complaint(text: str) -> str:
    """The last lines of a log that speak of an error."""
    lines = [line.strip() for line in text.splitlines() if "Error" in line and "RLIMIT_NOFILE" not in line]
    return "; ".join(lines[-4:])
