"""The programs of config.json's ``hooks``: run in order, with the state on standard input and their own environment.

Where each kind runs is the caller's part: prestart, createRuntime, poststart and poststop in the runtime's namespaces
(stage 1), createContainer and startContainer in the container's (stage 2), the latter as the container's process would
be. runtime-spec config.md, "POSIX-platform
Hooks". Nothing is imported here while a hook runs: stage 2 has no import path left.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import fcntl
import os
import time
from select import POLLIN, poll

from ocicommon.linux import process

from railcar import documents
from railcar.errors import ConfigError, RailcarError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# kind -> the status in the state that its hooks read.
STATUS = {
    "prestart": "creating",
    "createRuntime": "creating",
    "createContainer": "creating",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}

_KEPT_OUTPUT = 1 << 16
_SHOWN_OUTPUT = 2048
_TOLD_OUTPUT = 8192
_EXEC_FAILED = 127
_LAST_SIGNAL = 64


class HookError(RailcarError):
    """A hook failed; ``results`` are those that ran, the failed one last."""

    def __init__(self, message: str, results: list[Result]) -> None:
        super().__init__(message)
        self.results = results


class Result:
    """What came of one hook. ``duration`` in seconds; ``output``: both streams, the first 64 KiB.

    ``failure``: "" or why; ``status``: the exit code, or minus the signal's number, None where it did not run.
    """

    __slots__ = ("args", "duration", "failure", "index", "kind", "output", "path", "status")

    def __init__(self, kind: str, index: int, path: str, args: list[str]) -> None:
        self.kind = kind
        self.index = index
        self.path = path
        self.args = args
        self.duration = 0.0
        self.status: int | None = None
        self.output = b""
        self.failure = ""

    def message(self) -> str:
        """The failure as one sentence, as engines know it."""
        return f"error running {self.kind} hook #{self.index}: {self.failure}"

    def record(self) -> dict[str, object]:
        """For the history in the state directory: plain data."""
        return {
            "kind": self.kind,
            "index": self.index,
            "path": self.path,
            "args": self.args,
            "duration": self.duration,
            "status": self.status,
            "output": self.output.decode("utf-8", "replace"),
            "failure": self.failure,
        }


def told(results: list[Result]) -> bytes:
    """What came of hooks that ran in the container, for the host's side: JSON, with the beginning of their outputs."""
    for result in results:
        result.output = result.output[: _TOLD_OUTPUT // len(results)]
    return documents.compact([result.record() for result in results]).encode()


def check(hooks: dict[str, Any] | None) -> None:
    """Refuse what no runtime could run: paths that are not absolute, timeouts that are not positive. ConfigError."""
    for kind in STATUS:
        for index, hook in enumerate((hooks or {}).get(kind) or []):
            where = f"hooks.{kind}[{index}]"
            path = hook.get("path") or ""
            if not path.startswith("/") or "\0" in path:
                raise ConfigError(f"{where}.path {path!r} must be an absolute path")
            timeout = hook.get("timeout")
            if timeout is not None and (type(timeout) is not int or timeout <= 0):
                raise ConfigError(f"{where}.timeout {timeout!r} must be a number of seconds above 0")
            for field in ("args", "env"):
                values = hook.get(field) or []
                if any(not isinstance(value, str) or "\0" in value for value in values):
                    raise ConfigError(f"{where}.{field} must be a list of strings without NUL")


def run(
    kind: str,
    hooks: list[dict[str, Any]],
    state: bytes,
    cwd: str = "",
    keep_going: bool = False,
    environment: list[bytes] | None = None,
    become: Callable[[], None] | None = None,
) -> list[Result]:
    """Run the hooks of one kind in order. ``state`` is the JSON for their standard input, ``cwd`` where they start.

    ``environment`` is what a hook without an ``env`` of its own gets: nothing, but for startContainer hooks, which are
    the container's own programs and get its process's. ``become``: called by each hook's process before its exec.

    The first failure raises HookError; with ``keep_going`` (poststop) the rest runs all the same, and the caller finds
    the failures in the results.
    """
    results = []
    for index, hook in enumerate(hooks):
        result = _run_one(kind, index, hook, state, cwd, environment or [], become)
        results.append(result)
        if result.failure and not keep_going:
            raise HookError(result.message(), results)
    return results


def _run_one(
    kind: str,
    index: int,
    hook: dict[str, Any],
    state: bytes,
    cwd: str,
    inherited: list[bytes],
    become: Callable[[], None] | None,
) -> Result:
    path = hook["path"]
    argv = [os.fsencode(word) for word in hook.get("args") or [path]]
    result = Result(kind, index, path, [os.fsdecode(word) for word in argv])
    # On the host nothing of ours or the container's:
    # a variable of an image could load its code into a hook (CVE-2025-23266).
    own = hook.get("env")
    environment = inherited
    if own is not None:
        last = {entry.partition("=")[0]: os.fsencode(entry) for entry in own if "=" in entry}
        environment = list(last.values())
    stdin = os.memfd_create("state", os.MFD_CLOEXEC)
    os.write(stdin, state)
    os.lseek(stdin, 0, os.SEEK_SET)
    output, write = os.pipe2(os.O_CLOEXEC)
    report, tell = os.pipe2(os.O_CLOEXEC)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _execute(os.fsencode(path), argv, environment, cwd, (stdin, write, write), tell, become)
    for fd in (stdin, write, tell):
        os.close(fd)
    try:
        _follow(result, pid, output, hook.get("timeout"), started)
        failed = os.read(report, 1 << 12)
        if failed:
            result.failure = failed.decode("utf-8", "replace")
            result.status = None
    finally:
        os.close(output)
        os.close(report)
        result.duration = time.monotonic() - started
    return result


def _execute(
    path: bytes,
    argv: list[bytes],
    environment: list[bytes],
    cwd: str,
    stdio: Any,
    tell: int,
    become: Callable[[], None] | None,
) -> None:
    """The child: never returns."""
    try:
        _signal.set_wakeup_fd(-1)
        for number in range(1, _LAST_SIGNAL + 1):
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        process.set_parent_death_signal(0)
        # From high numbers down, so that no source is overwritten: an engine may have closed 0 to 2.
        high = [_above(fd) for fd in stdio]
        tell = _above(tell)
        for number, fd in enumerate(high):
            os.dup2(fd, number)
        process.close_range(3, flags=process.CLOSE_RANGE_CLOEXEC)
        if cwd:
            os.chdir(cwd)
        words, variables = process.strings(argv), process.strings(environment)
        if become is not None:
            become()
        process.execve(path, words, variables)
    except RailcarError as error:
        os.write(tell, error.message.encode())
    except OSError as error:
        os.write(tell, f"exec {os.fsdecode(path)}: {errno_text(error.errno or 0)}".encode())
    finally:
        os._exit(_EXEC_FAILED)


def _above(fd: int) -> int:
    return int(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16))


def _follow(result: Result, pid: int, output: int, timeout: int | None, started: float) -> None:
    """Gather output until the hook ends or its time is over. What it left behind may hold the pipe: not waited for."""
    pidfd = process.pidfd_open(pid)
    try:
        over, gathered = _gather(pidfd, output, timeout, started)
    except BaseException:
        process.pidfd_send_signal(pidfd, _signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    # No longer than there is something to keep: what it left behind may write for ever.
    while len(gathered) < _KEPT_OUTPUT and (part := _drain(output)):
        gathered = (gathered + part)[:_KEPT_OUTPUT]
    result.output = gathered
    result.status = os.waitstatus_to_exitcode(status)
    result.failure = _failure(result, f"it ran past its timeout of {timeout} s" if over else "")


def _gather(pidfd: int, output: int, timeout: int | None, started: float) -> tuple[bool, bytes]:
    """(whether its time was over, and it was killed, output so far)."""
    os.set_blocking(output, False)
    poller = poll()
    poller.register(pidfd, POLLIN)
    poller.register(output, POLLIN)
    gathered = b""
    while True:
        left = None if timeout is None else max(0.0, started + timeout - time.monotonic()) * 1000
        ready = {fd for fd, _ in poller.poll(left)}
        if output in ready:
            part = _drain(output)
            if part == b"":
                poller.unregister(output)
            gathered = (gathered + (part or b""))[:_KEPT_OUTPUT]
        if pidfd in ready:
            return False, gathered
        if not ready and left == 0:
            process.pidfd_send_signal(pidfd, _signal.SIGKILL)
            return True, gathered


def _drain(fd: int) -> bytes | None:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None


def _failure(result: Result, reason: str) -> str:
    if not reason and result.status:
        reason = f"exit status {result.status}"
        if result.status < 0:
            reason = f"killed by signal {-result.status} ({(_signal.strsignal(-result.status) or '?').lower()})"
    if not reason:
        return ""
    said = " / ".join(result.output[-_SHOWN_OUTPUT:].decode("utf-8", "replace").split("\n")).strip(" /")
    return f"{result.path}: {reason}" + (f"; it said: {said}" if said else "")
