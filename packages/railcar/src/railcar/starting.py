"""`start`: the go through one FIFO, and what came of it through the other."""

import errno
import os
from select import POLLIN, poll

from railcar import documents, handshake, state, stub
from railcar.errors import RailcarError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.state import Record

_SIGSYS = 31


def start(root: str, container_id: str) -> None:
    """Start a created container. Holds its lock: of two at once, one is refused. Raises RailcarError."""
    lock = state.lock(root, container_id)
    try:
        record = state.find(root, container_id)
        refuse(record)
        release(record)
    finally:
        os.close(lock)
    after(record)


def refuse(record: "Record") -> None:
    """Only a created container can be started."""
    status = record.status()
    if status == "created":
        return
    name = record.container_id
    if status in ("running", "paused"):
        raise RailcarError(f"cannot start an already running container: {name} is {status}")
    if status == "creating":
        raise RailcarError(f"cannot start {name}: it is still being created")
    if not os.path.exists(record.path(state.GO_FIFO)) and not record.config().get("process"):
        raise RailcarError(f"cannot start {name}: its config.json has no process to run")
    raise RailcarError(f"cannot start a container that has stopped: {name}")


def release(record: "Record", go: int = -1, pidfd: int = -1) -> None:
    """Give the word and wait for the exec, or its error. Raises StepError.

    `go`, `pidfd`: the FIFO, which is closed, and the first process, where the caller holds them.
    """
    own = -1
    reply = os.open(record.path(state.REPLY_FIFO), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if go < 0:
            try:
                go = os.open(record.path(state.GO_FIFO), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                raise RailcarError(f"cannot start {record.container_id}: its first process waits no more") from None
        if pidfd < 0:
            pidfd = own = record.pidfd()
        os.write(go, b"G")
        os.close(go)
        said = _history(record, _listen(reply, pidfd))
        for name in (state.GO_FIFO, state.REPLY_FIFO):
            try:
                os.unlink(record.path(name))
            except FileNotFoundError:
                continue
        check(record, said, pidfd)
    finally:
        os.close(reply)
        if own >= 0:
            os.close(own)


def _history(record: "Record", said: bytes) -> bytes:
    """Keep what the reply tells of startContainer hooks; the rest of it."""
    if not said.startswith(handshake.HOOKS):
        return said
    end = 5 + int.from_bytes(said[1:5], "little")
    record.remember_told(said[5:end])
    record.save()
    return said[end:]


def _listen(reply: int, pidfd: int) -> bytes:
    """All that comes until the last writer closes it, by exec or death.

    A FIFO whose writer was gone before we opened it never wakes a poll: the death itself does.
    """
    said = b""
    poller = poll()
    poller.register(reply, POLLIN)
    if pidfd >= 0:
        poller.register(pidfd, POLLIN)
    while True:
        dead = pidfd < 0 or any(fd == pidfd for fd, _ in poller.poll())
        try:
            piece = os.read(reply, 65536)
        except BlockingIOError:
            if dead:
                return said
            continue
        if not piece:
            return said
        said += piece


def check(record: "Record", said: bytes, pidfd: int) -> None:
    """Raise what the reply tells; nothing when the exec succeeded."""
    if said != stub.ANNOUNCED:
        process = record.config().get("process") or {}
        label = process.get("selinuxLabel") or process.get("apparmorProfile") or ""
        failed = failure(said, str((process.get("args") or ["?"])[0]), str(label))
        if failed is not None:
            raise failed
    if not said:
        raise RailcarError(f"the first process of {record.container_id} was killed before it could start the program")
    if pidfd >= 0 and _killed_by_filter(record, pidfd):
        raise RailcarError(
            f"the seccomp filter killed the first process of {record.container_id} (SIGSYS) before its program ran: "
            "linux.seccomp must allow execve"
        )


def _killed_by_filter(record: "Record", pidfd: int) -> bool:
    """Whether it died of SIGSYS without ever having got the program's name, as an exec would have given it. proc(5)"""
    config = record.config()
    profile = (config.get("linux") or {}).get("seccomp") or {}
    actions = [profile.get("defaultAction"), *(rule.get("action") for rule in profile.get("syscalls") or ())]
    if not any(str(action).startswith("SCMP_ACT_KILL") for action in actions):
        return False
    found = state.process_name(record.pid)
    arguments = (config.get("process") or {}).get("args") or [""]
    if found is None or found[0] == os.fsencode(str(arguments[0])).rpartition(b"/")[2][:15]:
        return False
    if not found[1]:
        return False
    ending = poll()
    ending.register(pidfd, POLLIN)
    ending.poll()  # it closes its files a moment before it is a zombie
    return state.exit_status(record.pid) & 0x7F == _SIGSYS


def failure(said: bytes, program: str, label: str) -> RailcarError | None:
    """What a reply tells: the error of Python's part, or the stub's; None when no exec was refused."""
    told = said.removeprefix(stub.ANNOUNCED)
    if told.startswith(handshake.ERROR):
        return handshake.decode(told[1:])
    failed = stub.failure(said)
    return None if failed is None else explain(program, *failed, label)


def explain(program: str, step: str, number: int, label: str) -> RailcarError:
    """The stub's errno as a sentence, with the program's name, or that of the security module's label."""
    if step == stub.STEPS[2]:
        known = {errno.ENOENT: "no such profile is loaded", errno.EINVAL: "the policy knows no such label"}
        return StepError(step, label, number, known.get(number, ""))
    if step != stub.STEPS[4]:
        return StepError(step, "", number)
    hint = ""
    if number == errno.ENOEXEC:
        hint = "it is neither a program for this machine nor a script with a #! line"
    elif number == errno.ENOENT:
        hint = "it, or the interpreter that it names, does not exist in the container"
    elif number == errno.EACCES:
        hint = "a security module or the file's mode forbids it"
    return StepError("exec", program, number, hint)


def after(record: "Record") -> None:
    """Poststart hooks; when one fails the container is stopped (runtime.md, "Lifecycle")."""
    found = hooks(record, "poststart")
    if not found:
        return
    from railcar import hooks as running
    from railcar import removing

    try:
        state_text = documents.compact(record.public("running")).encode()
        record.remember_hooks(running.run("poststart", found, state_text, str(record.data["bundle"])))
        record.save()
    except RailcarError:
        removing.kill_all(record)
        raise


def hooks(record: "Record", kind: str) -> "list[dict[str, Any]]":
    """The hooks of one kind that a container's configuration has."""
    if not record.has_hooks(kind):
        return []
    found = (record.config().get("hooks") or {}).get(kind) or []
    return list(found)
