"""`railcar checkpoint`."""

import os
from fcntl import F_GETFL, fcntl

from railcar import checkpointing
from railcar.cli import log
from railcar.cli.parse import Arguments, Globals, whole_number
from railcar.criu import options as criu_options
from railcar.criu.options import Request
from railcar.errors import UsageError, errno_text

_FLAGS = (
    "tcp-established",
    "tcp-skip-in-flight",
    "ext-unix-sk",
    "shell-job",
    "file-locks",
    "link-remap",
    "auto-dedup",
    "lazy-pages",
)


def request_of(arguments: Arguments) -> Request:
    """What `checkpoint` and `restore` share."""
    work = arguments.text("work-path")
    wanted = Request(
        os.path.abspath(arguments.text("image-path") or "checkpoint"), os.path.abspath(work) if work else ""
    )
    wanted.flags = [name.replace("-", "_") for name in _FLAGS if arguments.flag(name)]
    wanted.cgroups_mode = criu_options.mode(arguments.text("manage-cgroups-mode") or "soft")
    for kind in arguments.many("empty-ns"):
        if kind != "network":
            raise UsageError(f"--empty-ns is {kind}: it can be network")
        wanted.empty_network = True
    for name in ("lsm-profile", "lsm-mount-context"):
        value = arguments.text(name)
        if value:
            wanted.values[name.replace("-", "_")] = value
    return wanted


def page_server(text: str) -> tuple[str, int] | None:
    """(address, port) of ADDRESS:PORT; None without. Raises UsageError."""
    if not text:
        return None
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f'--page-server is "{text}": it is ADDRESS:PORT, the port 1 to 65535')
    return address, int(port)


def status(text: str) -> int:
    """The descriptor of --status-fd, not to be handed on; -1 without. Raises UsageError where none can write to it."""
    if not text:
        return -1
    fd = whole_number(text, "--status-fd")
    try:
        mode = fcntl(fd, F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise UsageError(f"--status-fd is {fd}, which is no open descriptor: {errno_text(error.errno or 0)}") from None
    if mode == os.O_RDONLY:
        raise UsageError(f"--status-fd is {fd}, which is not open for writing")
    os.set_inheritable(fd, False)  # else criu would keep it open, and who reads to its end would wait for criu's
    return fd


def program(options: Globals) -> str:
    """--criu, or ""."""
    wanted = options.values.get("criu")
    return wanted if isinstance(wanted, str) else ""


def run(options: Globals, arguments: Arguments) -> int:
    """Write an image of the container, and remove it unless it shall go on."""
    wanted = request_of(arguments)
    wanted.parent = arguments.text("parent-path") or ""
    wanted.page_server = page_server(arguments.text("page-server") or "")
    wanted.status = status(arguments.text("status-fd") or "")
    wanted.leave_running, wanted.pre_dump = arguments.flag("leave-running"), arguments.flag("pre-dump")
    for warning in checkpointing.checkpoint(options.root, arguments.positional[0], wanted, program(options)):
        log.warn(warning)
    return 0
