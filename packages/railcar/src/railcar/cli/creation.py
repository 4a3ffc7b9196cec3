"""What `create` and `run` share of the command line."""

import os

from ocicommon.linux.process import CLOSE_RANGE_CLOEXEC, close_range

from railcar.cli.environment import variable
from railcar.cli.parse import Arguments, Globals
from railcar.errors import UsageError
from railcar.plan.container import Options


def options_of(options: Globals, arguments: Arguments) -> Options:
    """Read them, and mark every other descriptor that was handed to us: none may reach a hook or a container."""
    wanted = Options()
    wanted.pid_file = os.path.abspath(arguments.text("pid-file") or "") if arguments.given("pid-file") else ""
    wanted.console_socket = arguments.text("console-socket") or ""
    wanted.pidfd_socket = arguments.text("pidfd-socket") or ""
    wanted.init = arguments.flag("init")
    wanted.no_pivot = arguments.flag("no-pivot")
    wanted.no_new_keyring = arguments.flag("no-new-keyring")
    wanted.config = arguments.text("config") or "config.json"
    wanted.console = arguments.text("console") or ""
    wanted.systemd_cgroup = options.systemd_cgroup
    wanted.cgroup_manager = options.cgroup_manager
    wanted.rootless = is_rootless(options)
    wanted.preserve = preserved(arguments)
    close_range(3 + wanted.preserve, flags=CLOSE_RANGE_CLOEXEC)
    return wanted


def preserved(arguments: Arguments) -> int:
    """--preserve-fds, or LISTEN_FDS of socket activation meant for us. Raises UsageError."""
    count = arguments.number("preserve-fds") or 0
    if not 0 <= count <= 100_000:
        raise UsageError(f"--preserve-fds is {count}: it is a number of descriptors")
    listening = variable("LISTEN_FDS")
    if not count and listening.isascii() and listening.isdigit() and variable("LISTEN_PID") == str(os.getpid()):
        count = int(listening)
    return count


def is_rootless(options: Globals) -> bool:
    """Whether cgroups that cannot be had are done without."""
    if options.rootless in ("true", "1"):
        return True
    if options.rootless in ("false", "0"):
        return False
    from railcar.cli.main import in_user_namespace

    return os.geteuid() != 0 or in_user_namespace()
