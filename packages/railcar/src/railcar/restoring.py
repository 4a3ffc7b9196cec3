"""`restore`: a container out of criu's image. The root and the cgroup are made here, all else is criu's."""

import os
from _signal import SIGKILL  # type: ignore[import-not-found]

from ocicommon.linux import mounts
from ocicommon.linux.namespaces import CLONE_NEWNS, unshare
from ocicommon.linux.sockets import receive_fds, send_fds

from railcar import checkpointing, config, console, creating, documents, handshake, identity, placing, state
from railcar.cgroups import driver
from railcar.cgroups.create import create
from railcar.criu import messages, service
from railcar.criu import options as criu_options
from railcar.criu.options import Request
from railcar.errors import ConfigError, RailcarError
from railcar.plan.container import Options, plan
from railcar.rootfs import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

_ROOT = "criu-root"


class Restored:
    """A restored container: its first process is a child of ours. `master`: the controlling end of its terminal, where
    this command relays it; -1 else."""

    __slots__ = ("master", "pid", "record", "warnings")

    def __init__(self, record: state.Record, pid: int, master: int, warnings: list[str]) -> None:
        self.record, self.pid, self.master, self.warnings = record, pid, master, warnings


def restore(
    root: str,
    container_id: str,
    bundle: str,
    options: Options,
    request: Request,
    *,
    relay: bool = False,
    criu_program: str = "",
) -> Restored:
    """Restore. `relay`: this command relays the terminal. Raises RailcarError; then nothing is left."""
    state.check_id(container_id)
    loaded = config.load(bundle)
    path = checkpointing.program(criu_program)
    if not os.path.isfile(os.path.join(request.image, "inventory.img")):
        raise RailcarError(f"--image-path {request.image}: there is no image of a container (no inventory.img)")
    plans = plan(loaded, container_id, options)
    terminal = plans.process is not None and plans.process.terminal and "shell_job" not in request.flags
    if terminal and not (options.console_socket or relay):
        raise ConfigError("process.terminal needs --console-socket, since this command does not stay to relay it")
    creation = creating._Creation(root, container_id, plans, options)
    handing = _Handing(creation, options.console_socket)
    pid = 0
    lock = state.claim(root, container_id)
    try:
        record = creation.record
        record.save()
        state.write(record.path(state.CONFIG), loaded.raw)
        if plans.cgroup is not None:
            creation.group = create(plans.cgroup)
            record.data["cgroup"] = creation.group.record()
        try:
            pid = _run(path, creation, request, handing)
        finally:
            _tidy(record)
        times = state.process_times(pid)
        record.data["pid"], record.data["start_time"] = pid, times[1] if times else 0
        if "time" not in record.data["namespaces"] and not _shares_clocks(pid):
            record.data["namespaces"] = [*record.data["namespaces"], "time"]
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
        if pid:
            os.kill(pid, SIGKILL)
            os.waitpid(pid, 0)
        creation.undo()
        handing.close()
        raise
    return Restored(record, pid, handing.master, plans.warnings)


class _Handing:
    """What is done at criu's moments: the terminal that it makes is handed on, and hooks of the host are run."""

    def __init__(self, creation: "Any", console_socket: str) -> None:
        self.creation = creation
        self.master = -1
        self.socket = console.connect(console_socket) if console_socket else None

    def __call__(self, moment: str, pid: int, fds: list[int]) -> None:
        if moment == "orphan-pts-master" and fds:
            self._terminal(fds.pop(0))
        elif moment == "setup-namespaces" and self.creation.plans.hooks:
            self.creation.record.data["pid"] = pid
            self.creation._host_hooks(pid)
        for fd in fds:
            os.close(fd)

    def _terminal(self, master: int) -> None:
        if self.socket is None:
            self.close()
            self.master = master
            return
        try:
            console.send(self.socket, master)
        finally:
            os.close(master)
            self.close()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def _shares_clocks(pid: int) -> bool:
    """Whether a process is in our time namespace: criu gives what it restores one of their own, with their clocks."""
    try:
        return os.stat(f"/proc/{pid}/ns/time").st_ino == os.stat("/proc/self/ns/time").st_ino
    except OSError:
        return True


def _tidy(record: state.Record) -> None:
    try:
        os.rmdir(record.path(_ROOT))
    except OSError:
        return


def _run(path: str, creation: "Any", request: Request, handing: _Handing) -> int:
    """criu in a child of ours, in the container's cgroup and a mount namespace of its own; the restored pid."""
    record, group = creation.record, creation.group
    os.mkdir(record.path(_ROOT), 0o755)
    told, telling = console.pair()
    go, word = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(word)
            if os.read(go, 1):
                _become(path, creation, request, telling)
        except BaseException as failure:
            telling.sendall(handshake.encode_error(failure))
        os._exit(1)
    os.close(go)
    telling.close()
    answer: dict[str, Any] = {}
    try:
        try:
            if group is not None:
                driver.join(group, child)
            os.write(word, b"G")
        finally:
            os.close(word)
        first, ours = _said(told)
        if ours is not None:
            answer = service.talk(ours, first, handing)
    finally:
        told.close()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    pid: int = (answer.get("restore") or {}).get("pid", 0)
    if not answer.get("success") or not pid:
        log = os.path.join(request.work, "restore.log")
        raise checkpointing.failed("restore", code, log, answer.get("cr_errmsg", ""))
    return pid


def _said(told: "_socket.socket") -> "tuple[bytes, _socket.socket | None]":
    """(the request, our end of the pair that criu has the other of), from the child that becomes criu.

    Without an end the child died. Raises what the child failed with.
    """
    said, fds = receive_fds(told)
    while piece := told.recv(1 << 16):
        said += piece
    ours = service.end(fds[0]) if fds else None
    size = int.from_bytes(said[:4], "little") if ours is not None else -4
    if error := said[4 + size :]:
        if ours is not None:
            ours.close()
        raise handshake.decode(error[1:])
    return said[4:], ours


def _become(path: str, creation: "Any", request: Request, telling: "_socket.socket") -> None:
    """The child: the container's root on a mount point of its own, what criu is to do said to the parent, then criu."""
    record, group, value = creation.record, creation.group, creation.plans.loaded.value
    identity.reset_signals()
    unshare(CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_SLAVE | mounts.MS_REC)
    root = os.path.realpath(record.path(_ROOT))
    mounts.mount(creation.plans.loaded.rootfs, root, None, mounts.MS_BIND | mounts.MS_REC)
    found = criu_options.binds(value.get("mounts") or [], creation.plans.loaded.bundle, checkpointing.shown(group))
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

    wanted = criu_options.restore(
        value,
        request,
        root=root,
        external=external,
        inherited={name: _handed(number, name) for number, name in enumerate(streams) if criu_options.handed_on(name)},
        groups=groups,
        opened=opened,
    )
    # As seen from this mount namespace, in which criu works.
    for name, directory in (("images_dir_fd", request.image), ("work_dir_fd", request.work)):
        wanted[name] = checkpointing.opened(directory)
        os.set_inheritable(wanted[name], True)
    ours, theirs = service.pair()
    first = service.request(messages.RESTORE, wanted)
    send_fds(telling, len(first).to_bytes(4, "little") + first, [ours.fileno()])
    os.execv(path, service.argv(path, theirs))


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
