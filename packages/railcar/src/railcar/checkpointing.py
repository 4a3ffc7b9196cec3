"""`checkpoint` and what it shares with `restore`: criu is run, and what it says on failure is passed on."""

import os

from railcar import documents, removing, state
from railcar.cgroups.mounts import mounts_for
from railcar.criu import messages, options, service
from railcar.criu.options import Request
from railcar.errors import RailcarError, errno_text
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
    raise RailcarError(
        f"{wanted or 'criu'} is not in PATH: checkpoint and restore need the criu program: "
        "install criu, or name it by --criu"
    )


def directory(path: str) -> None:
    """Make a directory for images or logs; it may be there."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise RailcarError(f"cannot make the directory {path}: {errno_text(error.errno or 0)}") from None


def opened(path: str) -> int:
    """A descriptor of a directory for images or logs, made where it is missing. Raises RailcarError."""
    directory(path)
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RailcarError(f"cannot open the directory {path}: {errno_text(error.errno or 0)}") from None


def failed(what: str, code: int, log: str, message: str = "") -> RailcarError:
    """The error of a criu that ended with this code, perhaps after an answer with a message."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            said = options.complaint(file.read())
    except OSError:
        said = ""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return RailcarError(f"criu {what} failed ({how}): {said or message or 'it said nothing'} (see {log})")


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


def checkpoint(root: str, container_id: str, request: Request, criu_program: str = "") -> list[str]:
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
        path = program(criu_program)
        streams = _streams(record.pid)
        if not request.pre_dump:  # before the dump: a lazy one ends when it has been restored
            directory(request.image)
            state.write(os.path.join(request.image, STREAMS), documents.compact(streams).encode())
        _dump(path, request, _options(record, config, request, streams))
        if request.pre_dump or request.leave_running:
            return []
        return removing.remove(record, "running")
    finally:
        os.close(lock)


def _dump(program: str, request: Request, wanted: "dict[str, Any]") -> None:
    """Have criu do it. Raises RailcarError."""

    def notified(moment: str, _pid: int, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        if moment == "status-ready" and request.status >= 0:
            os.write(request.status, b"\0")
            os.close(request.status)

    image, work = opened(request.image), opened(request.work)
    ours, theirs = service.pair()
    try:
        wanted |= {"images_dir_fd": image, "work_dir_fd": work}
        try:
            child = os.posix_spawn(program, service.argv(program, theirs), os.environ)
        except OSError as error:
            raise RailcarError(f"cannot execute {program}: {errno_text(error.errno or 0)}") from None
        theirs.close()
        kind = messages.PRE_DUMP if request.pre_dump else messages.DUMP
        answer: dict[str, Any] = {}
        try:
            answer = service.talk(ours, service.request(kind, wanted), notified)
        finally:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        ours.close()
        theirs.close()
        os.close(image)
        os.close(work)
    if not answer.get("success"):
        log = os.path.join(request.work, str(wanted["log_file"]))
        raise failed("pre-dump" if request.pre_dump else "dump", code, log, answer.get("cr_errmsg", ""))


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _streams(pid: int) -> list[str]:
    """What 0, 1 and 2 of a process are, see `options.stream`."""
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
        found.append(options.stream(link, fdinfo, status.st_ino, mountinfo))
    return found


def _check_parent(request: Request) -> None:
    if not request.parent:
        return
    if os.path.isabs(request.parent):
        raise RailcarError(f"--parent-path {request.parent}: it has to be relative to --image-path")
    # The directory of this image may not be there yet.
    if not os.path.isdir(os.path.normpath(os.path.join(request.image, request.parent))):
        raise RailcarError(f"--parent-path {request.parent}: there is no such directory, seen from {request.image}")


def shown(group: "Group | None") -> "Callable[[dict[str, Any]], list[dict[str, Any]]]":
    """What mounts of type cgroup became in a container with this group."""
    return lambda mount: [] if group is None else mounts_for(group.mode, group.paths, mount)


def _options(record: state.Record, config: "dict[str, Any]", request: Request, streams: list[str]) -> "dict[str, Any]":
    group = record.group()
    found = options.binds(config.get("mounts") or [], str(record.data["bundle"]), shown(group))
    rootfs = str(record.data["rootfs"])
    masked = (config.get("linux") or {}).get("maskedPaths") or []
    over = options.masked(masked, _text(f"/proc/{record.pid}/mountinfo"))
    freezer = ""
    if group is not None:
        freezer = group.paths.get("freezer") or (group.paths.get("unified", "") if group.mode == "v2" else "")
    return options.dump(
        config,
        request,
        pid=record.pid,
        rootfs=rootfs,
        freezer=freezer,
        external=[point for point, _ in points(rootfs, found)] + over,
        streams=streams,
        inode=lambda name: os.stat(name).st_ino,
    )
