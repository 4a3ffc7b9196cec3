"""`delete`: everything that a container holds goes, whatever state its creator left it in."""

import os
import time
from select import POLLIN, poll

from railcar import documents, pidfds, state
from railcar.cgroups import driver
from railcar.errors import ContainerMissing, RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.state import Record

#: How long a killed process may take to die, in milliseconds: it may be in the kernel, on a slow disk.
_DEATH = 30_000


def delete(root: str, container_id: str, force: bool = False) -> list[str]:
    """Remove a container that is stopped, or created; with `force` any, and no error when there is none.

    Returns warnings (of poststop hooks). Raises RailcarError.
    """
    try:
        lock = _take(root, container_id) if force else state.lock(root, container_id)
    except ContainerMissing:
        if force:
            return []
        raise
    try:
        record = state.find(root, container_id)
        status = record.status()
        if status not in ("stopped", "created") and not force:
            raise RailcarError(f"cannot delete container {container_id} that is not stopped: {status}")
        return remove(record, status)
    finally:
        os.close(lock)


def _take(root: str, container_id: str) -> int:
    """The container's lock, whoever holds it: a `create` or `start` that hangs is ended by what it works on.

    Everything is removed under the lock only, or one delete would take what another create has made meanwhile.
    """
    deadline = time.monotonic() + _DEATH / 1000
    while True:
        lock = state.lock(root, container_id, wait=False)
        if lock >= 0:
            return lock
        record = state.find(root, container_id)
        if record.data.get("phase") == "creating":
            _kill_creator(record)
        else:
            _kill_first(record)
        if time.monotonic() > deadline:
            raise RailcarError(f"another command on {container_id} does not end: see the processes that hold its lock")
        time.sleep(0.002)


def discard(record: "Record", status: str = "stopped") -> list[str]:
    """Remove this very container, if it is still there: not another that has got its id since. Returns warnings."""
    try:
        lock = state.lock(record.root, record.container_id)
    except ContainerMissing:
        return []
    try:
        found = state.find(record.root, record.container_id)
        if found.data.get("created") != record.data["created"]:
            return []
        return remove(found, status)
    except ContainerMissing:
        return []
    finally:
        os.close(lock)


def remove(record: "Record", status: str = "stopped") -> list[str]:
    """Kill what lives, remove the cgroup, run poststop hooks, remove the directory. Returns the hooks' warnings.

    The caller holds the lock.
    """
    if status != "stopped":
        _kill_first(record)
    group = record.group()
    if group is not None:
        if not group.vacant() and group.pids():
            group.kill()
        driver.destroy(group)
    remove_closure(record)
    warnings = _poststop(record)
    remove_directory(record.directory)
    return warnings


def remove_closure(record: "Record") -> None:
    """Remove the container's own closure of linux.intelRdt."""
    if record.data.get("rdt"):
        from railcar import rdt

        rdt.remove(record.data["rdt"])


def kill_all(record: "Record") -> None:
    """SIGKILL to the first process and all of the cgroup, and wait for the first one's death."""
    _kill_first(record)
    group = record.group()
    if group is not None and group.exists():
        group.kill()


def _kill_first(record: "Record") -> None:
    pidfd = record.pidfd()
    if pidfd < 0:
        return
    _kill_and_wait(pidfd, record)


def _kill_and_wait(pidfd: int, record: "Record") -> None:
    try:
        pidfds.send(pidfd, 9)
    except OSError:
        pass
    poller = poll()
    poller.register(pidfd, POLLIN)
    ended = poller.poll(50)
    if not ended:
        # A frozen process dies only when its group is thawed.
        group = record.group()
        if group is not None and group.exists():
            group.kill()
        ended = poller.poll(_DEATH)
    os.close(pidfd)
    if not ended:
        raise RailcarError(
            f"the first process of {record.container_id} does not die of SIGKILL: is it in a system call?"
        )


def _kill_creator(record: "Record") -> None:
    """A `create` that hangs or was killed: its child dies with it, by the parent-death signal."""
    creator = record.data.get("creator") or {}
    pid = int(creator.get("pid") or 0)
    if not pid or pid == os.getpid() or not record._creator_alive():
        return
    try:
        pidfd = pidfds.open_pid(pid)
    except OSError:
        return
    if record._creator_alive():
        _kill_and_wait(pidfd, record)
    else:
        os.close(pidfd)


def _poststop(record: "Record") -> list[str]:
    if not record.has_hooks("poststop"):
        return []
    try:
        hooks = (record.config().get("hooks") or {}).get("poststop") or []
    except (OSError, RailcarError):
        return []
    if not hooks or record.data.get("phase") == "creating":
        return []
    from railcar import hooks as running

    text = documents.compact(record.public("stopped")).encode()
    results = running.run("poststop", hooks, text, str(record.data["bundle"]), keep_going=True)
    return [result.message() for result in results if result.failure]


def remove_directory(path: str) -> None:
    """Remove a state directory; the records go last, so that a crash on the way leaves them to the next delete."""
    for name in (state.GO_FIFO, state.REPLY_FIFO, state.CONFIG, state.INTENT, state.STATE):
        _unlink(os.path.join(path, name))
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:  # a command that was killed has left more
        for name in os.listdir(path):
            left = os.path.join(path, name)
            if os.path.isdir(left) and not os.path.islink(left):
                os.rmdir(left)  # the mount point of a restore
            else:
                _unlink(left)
        os.rmdir(path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, IsADirectoryError):
        return
