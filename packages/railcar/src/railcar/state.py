"""What is remembered of a container: one directory `<root>/<id>` with state.json, config.json and two FIFOs.

Records are replaced as a whole (rename), so readers never lock. Before the first side effect there is the intent
(status "creating": cgroups and paths that a clean-up needs), after "ready" the final record. They have a file each:
a filesystem on a disk writes out at once what is renamed over another file, and waits for that when it goes.
"""

import errno
import fcntl
import os
import time

from railcar import documents, pidfds
from railcar.errors import ContainerMissing, RailcarError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group

_ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
STATE = "state.json"
INTENT = "intent.json"
CONFIG = "config.json"
GO_FIFO = "exec.fifo"
REPLY_FIFO = "reply.fifo"
_SHAPE = (("pid", int), ("start_time", int), ("cgroup", dict), ("namespaces", list), ("hooks", list), ("creator", dict))


def check_id(container_id: str) -> None:
    """An id is ASCII letters, digits and _+-. and neither . nor .. (it names a directory). Raises RailcarError."""
    if not container_id or not _ID_LETTERS.issuperset(container_id) or container_id in (".", ".."):
        raise RailcarError(
            f'invalid container id "{container_id}": it may hold ASCII letters, digits and the characters _+-. only'
        )
    if len(container_id) > 1024:
        raise RailcarError(f"invalid container id: {len(container_id)} characters, and 1024 is the most")


def boot_id() -> str:
    """The kernel's id of this boot: a pid of another boot is nobody's."""
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
        return file.read().decode().strip()


_PF_EXITING = 0x4


def process_times(pid: int) -> "tuple[str, int] | None":
    """(state letter, start time in clock ticks since boot) of `pid` from /proc/PID/stat, or None if there is none."""
    found = _stat(pid)
    return None if found is None else (found[1][0].decode(), int(found[1][19]))


def process_name(pid: int) -> "tuple[bytes, bool] | None":
    """(name, whether it is ending or a zombie) from /proc/PID/stat, or None if there is none. proc(5)"""
    found = _stat(pid)
    return None if found is None else (found[0], bool(int(found[1][6]) & _PF_EXITING))


def exit_status(pid: int) -> int:
    """The wait status of a zombie, 0 if it has been reaped or does not show it. proc(5)"""
    found = _stat(pid)
    return 0 if found is None else int(found[1][49])


def _stat(pid: int) -> "tuple[bytes, list[bytes]] | None":
    """The name in /proc/PID/stat, and the fields after it."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    end = data.rindex(b")")
    return data[data.index(b"(") + 1 : end], data[end + 2 :].split()


def now() -> str:
    """The time as RFC 3339 in UTC, with nanoseconds."""
    moment = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)) + f".{moment % 10**9:09d}Z"


class Record:
    """One container as remembered. `data` is state.json's object; keys:

    ociVersion id pid start_time boot_id phase bundle rootfs created annotations owner cgroup namespaces
    """

    __slots__ = ("_config", "container_id", "data", "root")

    def __init__(self, root: str, container_id: str, data: "dict[str, Any]") -> None:
        self.root, self.container_id, self.data = root, container_id, data
        self._config: dict[str, Any] | None = None

    @property
    def directory(self) -> str:
        return os.path.join(self.root, self.container_id)

    @property
    def pid(self) -> int:
        return int(self.data.get("pid") or 0)

    @property
    def start_time(self) -> int:
        return int(self.data.get("start_time") or 0)

    def path(self, name: str) -> str:
        return os.path.join(self.root, self.container_id, name)

    def make_fifo(self, name: str, first: int) -> int:
        """A new FIFO, open for both ways (so that nobody ever waits for the other end), at a number from `first` on."""
        path = self.path(name)
        os.mkfifo(path, 0o600)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if fd >= first:
            return fd
        higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first)
        os.close(fd)
        return higher

    def config(self) -> "dict[str, Any]":
        """The config.json as it was at create, read once."""
        if self._config is None:
            self._config = documents.read(self.path(CONFIG))
        return self._config

    def alive(self) -> bool:
        """True while the container's first process is the one remembered, and no zombie."""
        if not self.pid or self.data.get("boot_id") != boot_id():
            return False
        times = process_times(self.pid)
        return times is not None and times[0] not in ("Z", "X") and times[1] == self.start_time

    def pidfd(self) -> int:
        """A pidfd of the first process, made sure of after opening; -1 when it is gone. The caller closes it."""
        if not self.pid:
            return -1
        try:
            fd: int = pidfds.open_pid(self.pid)
        except OSError:
            return -1
        if not self.alive():
            os.close(fd)
            return -1
        return fd

    def group(self) -> "Group | None":
        """The container's cgroup, or None where it has none."""
        if not self.data.get("cgroup"):
            return None
        from railcar import cgroups

        return cgroups.from_record(self.data["cgroup"])

    def status(self) -> str:
        """creating, created, running, paused or stopped (runtime.md, "State")."""
        if self.data.get("phase") == "creating":
            return "creating" if self._creator_alive() else "stopped"
        if not self.alive():
            return "stopped"
        status = "created" if self.waiting() else "running"
        group = self.group()
        if group is not None:
            try:
                if group.frozen():
                    return "paused"
            except OSError:
                return status
        return status

    def waiting(self) -> bool:
        """True while the first process waits for `start`: it holds the FIFO open for reading."""
        try:
            fd = os.open(self.path(GO_FIFO), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        os.close(fd)
        return True

    def _creator_alive(self) -> bool:
        creator = self.data.get("creator") or {}
        if creator.get("boot_id") != boot_id():
            return False
        times = process_times(int(creator.get("pid") or 0))
        return times is not None and times[1] == creator.get("start_time")

    def public(self, status: str) -> "dict[str, Any]":
        """The state as the runtime specification shapes it, in its order of keys; pid is 0 once stopped."""
        data = self.data
        shown: dict[str, Any] = {
            "ociVersion": data.get("ociVersion"),
            "id": self.container_id,
            "pid": 0 if status == "stopped" else self.pid,
            "status": status,
            "bundle": data.get("bundle"),
            "rootfs": data.get("rootfs"),
            "created": data.get("created"),
        }
        if data.get("annotations"):
            shown["annotations"] = data["annotations"]
        shown["owner"] = data.get("owner", "")
        return shown

    def remember_hooks(self, results: "list[Any]") -> None:
        """Keep what came of hooks (`railcar.hooks.Result`), for `railcar inspect`."""
        self.data.setdefault("hook_history", []).extend(result.record() for result in results)

    def remember_told(self, told: bytes) -> None:
        """The same of hooks that ran in the container, as `railcar.hooks.told` wrote it; nothing where none did."""
        if told:
            self.data.setdefault("hook_history", []).extend(documents.parse(told, "history of hooks"))

    def has_hooks(self, kind: str) -> bool:
        """Whether the configuration has hooks of this kind, without a look into it."""
        kinds = self.data.get("hooks")
        return kinds is None or kind in kinds

    def draft(self) -> None:
        """Make the file that `save` will write the final record to, where that need not be waited for."""
        write(self._temporary(STATE), b"")

    def _temporary(self, name: str) -> str:
        return self.path(f".{name}.{os.getpid()}")

    def save(self) -> None:
        """Replace the record as a whole: the intent while the container is made, else state.json."""
        name = INTENT if self.data["phase"] == "creating" else STATE
        temporary = self._temporary(name)
        write(temporary, documents.compact(self.data).encode())
        os.rename(temporary, self.path(name))


def write(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a small file. An OSError names it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def claim(root: str, container_id: str) -> int:
    """Make the state directory of a new container, and take its lock. Raises RailcarError; then nothing of it is ours.

    Between the two a delete may take the directory away and another create make it anew: its owner is who comes first
    to the lock, and the intent tells.
    """
    path = _make(root, container_id)
    try:
        fd = lock(root, container_id)
    except ContainerMissing:
        raise RailcarError(f"container {container_id} was deleted while it was being created") from None
    if os.path.lexists(os.path.join(path, INTENT)):
        os.close(fd)
        raise _taken(root, container_id)
    return fd


def _taken(root: str, container_id: str) -> RailcarError:
    return RailcarError(
        f'container "{container_id}" is already in {root}: delete it or choose another id: '
        "container with given ID already exists"
    )


def _make(root: str, container_id: str) -> str:
    """The path of the new directory."""
    check_id(container_id)
    path = os.path.join(root, container_id)
    try:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            os.makedirs(root, 0o711, exist_ok=True)
            os.mkdir(path, 0o700)
    except FileExistsError:
        raise _taken(root, container_id) from None
    except OSError as error:
        raise RailcarError(
            f"cannot make the state directory {path} (see --root): {errno_text(error.errno or 0)}"
        ) from None
    return path


def find(root: str, container_id: str) -> Record:
    """The record of a container. Raises ContainerMissing, RailcarError."""
    check_id(container_id)
    directory = os.path.join(root, container_id)
    # The intent stays beside the final record, which may come while we look: the third look is for that.
    for name in (STATE, INTENT, STATE):
        try:
            data = documents.read(os.path.join(directory, name))
            _believe(root, directory, name, data)
            return Record(root, container_id, data)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RailcarError(
                f"cannot read the state of {container_id} in {root}: {errno_text(error.errno or 0)}"
            ) from None
    if os.path.isdir(directory):
        return Record(root, container_id, {"id": container_id, "phase": "creating"})
    raise ContainerMissing(container_id, root)


def _believe(root: str, directory: str, name: str, data: "Any") -> None:
    """Refuse what is no record, and another user's where anybody may put one: it names processes to be killed, groups
    to be removed and hooks to be run. Raises RailcarError."""
    if not _has_shape(data):
        raise RailcarError(
            f"{directory}/{name} is no record of a container: when no process of it is left, remove {directory}"
        )
    owner = os.stat(directory, follow_symlinks=False).st_uid
    if owner not in (0, os.geteuid()) and os.stat(root).st_mode & 0o002:
        raise RailcarError(
            f"{directory} belongs to user {owner}, and anybody may write to {root}: choose another --root"
        )


def _has_shape(data: "Any") -> bool:
    if not isinstance(data, dict):
        return False
    for key, kind in _SHAPE:
        if data.get(key) is not None and not isinstance(data[key], kind):
            return False
    group = data.get("cgroup")
    return not group or (isinstance(group.get("mode"), str) and isinstance(group.get("paths"), dict))


def all(root: str) -> list[Record]:
    """The records of every container under `root`, by id. None is locked; those deleted meanwhile are left out."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RailcarError(f"cannot list {root}: {errno_text(error.errno or 0)}") from None
    found = []
    for name in names:
        try:
            if os.path.isdir(os.path.join(root, name)):
                found.append(find(root, name))
        except RailcarError:
            continue
    return found


def lock(root: str, container_id: str, wait: bool = True) -> int:
    """Take the container's lock; close the descriptor to let go. With `wait` false, -1 when another holds it.

    It is a lock of the state directory itself, and serialises create, start, delete, pause, resume and update of one
    container. Raises ContainerMissing.
    """
    check_id(container_id)
    path = os.path.join(root, container_id)
    while True:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ContainerMissing(container_id, root) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(fd)
            if error.errno == errno.EWOULDBLOCK:
                return -1
            raise
        # A delete may have removed the directory while we waited: its lock then guards nothing.
        try:
            here, there = os.fstat(fd), os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            os.close(fd)
            raise ContainerMissing(container_id, root) from None
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return fd
        os.close(fd)
