"""`checkpoint` and what it shares with `restore`: criu is run, and what it says on failure is passed on."""

import os

from railcar import criu, documents, removing, state
from railcar.cgroups.mounts import mounts_for
from railcar.errors import ConfigError, RailcarError
from railcar.rootfs import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from railcar.cgroups.group import Group

#: What 0, 1 and 2 were, in the image directory: runc's name for it.
STREAMS = "descriptors.json"
_NULL = os.makedev(1, 3)


def program(wanted: str = "") -> str:
    """The path of criu. Raises RailcarError."""
    if "/" in wanted:
        return wanted
    for directory in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory or ".", wanted or "criu")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise RailcarError(f"{wanted or 'criu'} is not in PATH: checkpoint and restore need the criu program")


def refuse_terminal(config: "dict[str, Any]") -> None:
    """A terminal's other end is outside of the container, and criu's command line has no way to hand on a new one."""
    if (config.get("process") or {}).get("terminal"):
        raise ConfigError("process.terminal is true: a container with a terminal cannot be checkpointed or restored")


def directory(path: str) -> None:
    """Make a directory for images or logs; it may be there."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise RailcarError(f"cannot make the directory {path}: {error.strerror}") from None


def failed(what: str, code: int, log: str) -> RailcarError:
    """The error of a criu that ended with this code."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            said = criu.complaint(file.read())
    except OSError:
        said = ""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return RailcarError(f"criu {what} failed ({how}): {said or 'it said nothing'} (see {log})")


def points(rootfs: str, found: "list[tuple[str, str]]") -> "list[tuple[str, str]]":
    """The same pairs with the destinations as the kernel names them: links in the root are followed."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        base = os.readlink(f"/proc/self/fd/{root}")
        return [(_point(root, base, destination), source) for destination, source in found]
    finally:
        os.close(root)


def _point(root: int, base: str, destination: str) -> str:
    try:
        fd = paths.resolve(root, destination)
    except OSError:
        return destination
    try:
        real = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return real.removeprefix(base) if real.startswith(base + "/") else destination


def checkpoint(root: str, container_id: str, request: criu.Request, criu_program: str = "") -> list[str]:
    """Write the image of a running container; unless it shall go on, it is removed. Returns warnings.

    Raises RailcarError; the container then goes on as before.
    """
    state.find(root, container_id)
    lock = state.lock(root, container_id)
    try:
        record = state.find(root, container_id)
        status = record.status()
        if status not in ("running", "paused"):
            raise RailcarError(f'cannot checkpoint "{container_id}", which is {status}: container not running')
        config = record.config()
        _check_parent(request)
        if "shell-job" not in request.flags:
            refuse_terminal(config)
        path = program(criu_program)
        directory(request.image)
        directory(request.work)
        streams = _streams(record.pid)
        argv = _argv(path, record, config, request, streams)
        code = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, argv, os.environ), 0)[1])
        if code:
            raise failed(argv[1], code, os.path.join(request.work, "dump.log"))
        if request.pre_dump:
            return []
        state.write(os.path.join(request.image, STREAMS), documents.compact(streams).encode())
        if request.leave_running:
            return []
        return removing.remove(record, "running")
    finally:
        os.close(lock)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _streams(pid: int) -> list[str]:
    """What 0, 1 and 2 of a process are, see `criu.stream`."""
    mountinfo = _text(f"/proc/{pid}/mountinfo")
    found = []
    for number in (0, 1, 2):
        path = f"/proc/{pid}/fd/{number}"
        try:
            link, status, fdinfo = os.readlink(path), os.stat(path), _text(f"/proc/{pid}/fdinfo/{number}")
        except FileNotFoundError:
            found.append("")
            continue
        if status.st_rdev == _NULL:
            link = "/dev/null"  # a descriptor of another mount namespace names it otherwise
        found.append(criu.stream(link, fdinfo, status.st_ino, mountinfo))
    return found


def _check_parent(request: criu.Request) -> None:
    if not request.parent:
        return
    if os.path.isabs(request.parent):
        raise RailcarError(f"--parent-path {request.parent}: it has to be relative to --image-path")
    if not os.path.isdir(os.path.join(request.image, request.parent)):
        raise RailcarError(f"--parent-path {request.parent}: there is no such directory, seen from {request.image}")


def shown(group: "Group | None") -> "Callable[[dict[str, Any]], list[dict[str, Any]]]":
    """What mounts of type cgroup became in a container with this group."""
    return lambda mount: [] if group is None else mounts_for(group.mode, group.paths, mount)


def _argv(
    path: str, record: state.Record, config: "dict[str, Any]", request: criu.Request, streams: list[str]
) -> list[str]:
    group = record.group()
    found = criu.binds(config.get("mounts") or [], str(record.data["bundle"]), shown(group))
    rootfs = str(record.data["rootfs"])
    masked = (config.get("linux") or {}).get("maskedPaths") or []
    over = criu.masked(masked, _text(f"/proc/{record.pid}/mountinfo"))
    freezer = ""
    if group is not None:
        freezer = group.paths.get("freezer") or (group.paths.get("unified", "") if group.mode == "v2" else "")
    return criu.dump(
        path,
        config,
        request,
        pid=record.pid,
        rootfs=rootfs,
        freezer=freezer,
        external=[point for point, _ in points(rootfs, found)] + over,
        streams=streams,
        inode=lambda name: os.stat(name).st_ino,
    )
