"""`railcar exec`."""

import os

from ocicommon.linux.process import CLOSE_RANGE_CLOEXEC, close_range

from railcar import config, documents, executing, guarded, placing, state, watching
from railcar.cli import log
from railcar.cli.creation import preserved
from railcar.cli.parse import Arguments, Globals, whole_number
from railcar.errors import ConfigError, RailcarError, UsageError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(options: Globals, arguments: Arguments) -> int:
    """The program's exit code, 128 + N after signal N; 0 at once with --detach; 255 when it could not be run."""
    wanted = executing.Options()
    wanted.preserve = preserved(arguments)
    close_range(3 + wanted.preserve, flags=CLOSE_RANGE_CLOEXEC)
    wanted.cgroups = arguments.many("cgroup")
    wanted.console_socket = arguments.text("console-socket") or ""
    wanted.pidfd_socket = arguments.text("pidfd-socket") or ""
    wanted.pid_file = os.path.abspath(arguments.text("pid-file") or "") if arguments.given("pid-file") else ""
    wanted.ignore_paused = arguments.flag("ignore-paused")
    detach = arguments.flag("detach")
    wanted.relay = not detach
    placing.check_preserved(wanted.preserve)  # before a descriptor of ours has one of these numbers
    record = state.find(options.root, arguments.positional[0])
    wanted.watched = watching.needed(record)
    if wanted.watched:
        guarded.seal()
    process = _process(record, arguments)
    if detach:
        _warn(executing.execute(record, process, wanted))
        return 0
    from railcar import console
    from railcar.foreground import Foreground

    foreground = Foreground()

    def attach(end: "Any") -> None:
        """Size and mode of the terminal are right before the program can look."""
        foreground.hold()
        master = console.receive(end) if end is not None else -1
        if master >= 0:
            foreground.attach(master)

    wanted.before_go = attach
    try:
        made = executing.execute(record, process, wanted)
        _warn(made)
        return foreground.run(made.pid, made.pidfd)
    finally:
        foreground.close()


def _warn(made: executing.Executed) -> None:
    for warning in made.warnings:
        log.warn(warning)


def _process(record: state.Record, arguments: Arguments) -> "dict[str, Any]":
    """The process object: of the file, or the container's own with what the options change. Raises RailcarError."""
    path = arguments.text("process")
    command = arguments.positional[1:]
    if path:
        if command:
            raise UsageError("exec: --process has the program already: leave out the command")
        try:
            process: dict[str, Any] = documents.read(path)
        except OSError as error:
            raise ConfigError(f"cannot read the process file {path}: {errno_text(error.errno or 0)}") from None
        config.process(process, path)
        if arguments.flag("tty"):
            process["terminal"] = True
        return process
    if not command:
        raise UsageError("exec: the command is missing: railcar exec [OPTIONS] ID COMMAND...")
    try:
        base = record.config().get("process") or {}
    except FileNotFoundError:
        raise RailcarError(f"cannot exec in {record.container_id}: it is still being created") from None
    process = executing.process_of(base, command)
    process["terminal"] = arguments.flag("tty")
    if arguments.text("user"):
        process["user"] = executing.user_of(arguments.text("user") or "")
    gids = [whole_number(text, "--additional-gids", 0, config.MAXIMUM_ID) for text in arguments.many("additional-gids")]
    if gids:
        user = dict(process.get("user") or {})
        user["additionalGids"] = [*(user.get("additionalGids") or ()), *gids]
        process["user"] = user
    directory = arguments.text("cwd")
    if directory:
        if not directory.startswith("/"):
            raise UsageError(f'--cwd is "{directory}": it must be an absolute path in the container')
        process["cwd"] = directory
    if arguments.many("env"):
        process["env"] = [*(process.get("env") or ()), *arguments.many("env")]
    if arguments.many("cap"):
        process["capabilities"] = _with_capabilities(process.get("capabilities") or {}, arguments.many("cap"))
    if arguments.flag("no-new-privs"):
        process["noNewPrivileges"] = True
    if arguments.text("apparmor"):
        process["apparmorProfile"] = arguments.text("apparmor")
    if arguments.text("process-label"):
        process["selinuxLabel"] = arguments.text("process-label")
    config.process(process, "exec")
    return process


def _with_capabilities(sets: "dict[str, Any]", names: list[str]) -> "dict[str, Any]":
    """Add to what the program may use and gain; never to the inheritable set (CVE-2022-29162).

    Ambient ones have to be inheritable: what is not so already is left out where the process is made.
    """
    made = dict(sets)
    for kind in ("bounding", "effective", "permitted", *(("ambient",) if sets.get("inheritable") else ())):
        made[kind] = [*(sets.get(kind) or ()), *(name for name in names if name not in (sets.get(kind) or ()))]
    return made
