"""`railcar checkpoint`."""

import os

from railcar import checkpointing, criu
from railcar.cli import log
from railcar.cli.parse import Arguments, Globals
from railcar.errors import UsageError

_FLAGS = ("tcp-established", "tcp-skip-in-flight", "ext-unix-sk", "shell-job", "file-locks", "link-remap", "auto-dedup")
_IN_CRIU = {"tcp-skip-in-flight": "skip-in-flight"}


def request_of(arguments: Arguments) -> criu.Request:
    """What `checkpoint` and `restore` share."""
    work = arguments.text("work-path")
    wanted = criu.Request(
        os.path.abspath(arguments.text("image-path") or "checkpoint"), os.path.abspath(work) if work else ""
    )
    wanted.flags = [_IN_CRIU.get(name, name) for name in _FLAGS if arguments.flag(name)]
    wanted.cgroups_mode = criu.mode(arguments.text("manage-cgroups-mode") or "soft")
    for kind in arguments.many("empty-ns"):
        if kind != "network":
            raise UsageError(f"--empty-ns is {kind}: it can be network")
        wanted.empty_network = True
    for name in ("lsm-profile", "lsm-mount-context"):
        value = arguments.text(name)
        if value:
            wanted.values.append((name, value))
    return wanted


def program(options: Globals) -> str:
    """--criu, or ""."""
    wanted = options.values.get("criu")
    return wanted if isinstance(wanted, str) else ""


def run(options: Globals, arguments: Arguments) -> int:
    """Write an image of the container, and remove it unless it shall go on."""
    wanted = request_of(arguments)
    wanted.parent = arguments.text("parent-path") or ""
    wanted.leave_running, wanted.pre_dump = arguments.flag("leave-running"), arguments.flag("pre-dump")
    for warning in checkpointing.checkpoint(options.root, arguments.positional[0], wanted, program(options)):
        log.warn(warning)
    return 0
