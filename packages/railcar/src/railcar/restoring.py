"""`restore`: a container out of criu's image. The root and the cgroup are made here, all else is criu's."""

import os

from ocicommon.linux import mounts
from ocicommon.linux.namespaces import CLONE_NEWNS, unshare

from railcar import checkpointing, config, creating, criu, documents, handshake, identity, placing, state
from railcar.cgroups import driver
from railcar.cgroups.create import create
from railcar.errors import RailcarError
from railcar.plan.container import Options, plan
from railcar.rootfs import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROOT = "criu-root"
_PID = "criu.pid"


class Restored:
    """A restored container: its first process is a child of ours."""

    __slots__ = ("pid", "record", "warnings")

    def __init__(self, record: state.Record, pid: int, warnings: list[str]) -> None:
        self.record, self.pid, self.warnings = record, pid, warnings


def restore(
    root: str, container_id: str, bundle: str, options: Options, request: criu.Request, criu_program: str = ""
) -> Restored:
    """Restore. Raises RailcarError; then nothing is left."""
    state.check_id(container_id)
    loaded = config.load(bundle)
    if "shell-job" not in request.flags:
        checkpointing.refuse_terminal(loaded.value)
    path = checkpointing.program(criu_program)
    if not os.path.isfile(os.path.join(request.image, "inventory.img")):
        raise RailcarError(f"--image-path {request.image}: there is no image of a container (no inventory.img)")
    checkpointing.directory(request.work)
    plans = plan(loaded, container_id, options)
    creation = creating._Creation(root, container_id, plans, options)
    lock = state.claim(root, container_id)
    try:
        record = creation.record
        record.save()
        state.write(record.path(state.CONFIG), loaded.raw)
        if plans.cgroup is not None:
            creation.group = create(plans.cgroup)
            record.data["cgroup"] = creation.group.record()
        try:
            pid = _run(path, creation, request)
        finally:
            _tidy(record)
        times = state.process_times(pid)
        record.data["pid"], record.data["start_time"] = pid, times[1] if times else 0
        if creation.group is not None:
            record.data["cgroup"] = creation.group.record()
            driver.apply_late(creation.group)
            creation.group.close()
        record.data.pop("creator")
        record.data["phase"] = "created"
        record.save()
        placing.pid_file(options.pid_file, pid)
        os.close(lock)
    except BaseException:
        creation.undo()
        raise
    return Restored(record, pid, plans.warnings)


def _tidy(record: state.Record) -> None:
    for remove, name in ((os.rmdir, _ROOT), (os.unlink, _PID)):
        try:
            remove(record.path(name))
        except OSError:
            continue


def _run(path: str, creation: "Any", request: criu.Request) -> int:
    """criu in a child of ours, in the container's cgroup and a mount namespace of its own; the restored pid."""
    record, group = creation.record, creation.group
    os.mkdir(record.path(_ROOT), 0o755)
    go, word = os.pipe2(os.O_CLOEXEC)
    errors, telling = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(word)
            if os.read(go, 1):
                _become(path, creation, request)
        except BaseException as error:
            os.write(telling, handshake.encode_error(error))
        os._exit(1)
    os.close(go)
    os.close(telling)
    try:
        if group is not None:
            driver.join(group, child)
        os.write(word, b"G")
    finally:
        os.close(word)
        said = b""
        while piece := os.read(errors, 65536):
            said += piece
        os.close(errors)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said:
        raise handshake.decode(said[1:])
    if code:
        raise checkpointing.failed("restore", code, os.path.join(request.work, "restore.log"))
    with open(record.path(_PID), encoding="ascii") as file:
        return int(file.read())


def _become(path: str, creation: "Any", request: criu.Request) -> None:
    """The child: the container's root on a mount point of its own, then criu."""
    record, group, value = creation.record, creation.group, creation.plans.loaded.value
    identity.reset_signals()
    unshare(CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_SLAVE | mounts.MS_REC)
    root = os.path.realpath(record.path(_ROOT))
    mounts.mount(creation.plans.loaded.rootfs, root, None, mounts.MS_BIND | mounts.MS_REC)
    found = criu.binds(value.get("mounts") or [], creation.plans.loaded.bundle, checkpointing.shown(group))
    _mount_points(root, value.get("mounts") or [], dict(found))
    external = checkpointing.points(root, found)
    external += [(name, "/dev/null") for name in (value.get("linux") or {}).get("maskedPaths") or ()]
    try:
        streams = [str(name) for name in documents.read(os.path.join(request.image, checkpointing.STREAMS))]
    except FileNotFoundError:
        streams = []
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        groups = file.read()

    def opened(name: str) -> int:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        os.set_inheritable(fd, True)
        return fd

    argv = criu.restore(
        path,
        value,
        request,
        root=root,
        pid_file=record.path(_PID),
        external=external,
        inherited={name: _handed(number, name) for number, name in enumerate(streams) if criu.handed_on(name)},
        groups=groups,
        opened=opened,
    )
    os.execv(path, argv)


def _handed(number: int, stream: str) -> int:
    """The descriptor for a stream: ours of that number, and the null device, input and output, where that was it."""
    if not stream.endswith(" /dev/null"):
        return number
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.set_inheritable(fd, True)
    return fd


def _mount_points(root: str, listed: "list[dict[str, Any]]", sources: dict[str, str]) -> None:
    """Make those that are missing, in the order of the mounts; binds are there meanwhile, since others may be in them.

    What is below a tmpfs comes from the image, and cgroup mounts are below /sys.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    made = []
    volatile = [mount["destination"].rstrip("/") + "/" for mount in listed if mount.get("type") == "tmpfs"]
    for mount in listed:
        destination = os.path.normpath("/" + mount["destination"].strip("/"))
        if mount.get("type") in ("cgroup", "cgroup2") or any(destination.startswith(above) for above in volatile):
            continue
        source = sources.get(destination)
        make = paths.make_file if source and not os.path.isdir(source) else paths.make_directory
        fd = make(top, destination)
        if source:
            mounts.mount(source, f"/proc/self/fd/{fd}", None, mounts.MS_BIND | mounts.MS_REC)
            made.append(os.readlink(f"/proc/self/fd/{fd}"))
        os.close(fd)
    for point in reversed(made):
        mounts.umount2(point, mounts.MNT_DETACH)
    os.close(top)
