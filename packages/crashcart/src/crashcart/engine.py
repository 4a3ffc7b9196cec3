"""``-e``: the tools mounted for all, the command run by the engine's own exec, the tools unmounted."""

from __future__ import annotations

import os

from crashcart import report, shared
from crashcart.environment import BINARIES
from crashcart.errors import CrashcartError
from crashcart.image import ROOT
from crashcart.targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashcart.arguments import Arguments


def execute(target: Target, read: Arguments) -> int:
    """Run the command through the engine; its exit code."""
    import subprocess

    command = exec_command(target, read.command, os.isatty(0) and os.isatty(1))
    mine = not shared.is_mounted(target)
    if mine:
        shared.mount(target, read.image, read.dir)
    else:
        report.note(f"{ROOT} is mounted already, and stays so")
    try:
        report.note(f"running: {' '.join(command)}")
        try:
            return subprocess.run(command, check=False).returncode
        except OSError as error:
            raise CrashcartError(f"cannot run `{command[0]}`: {error.strerror}") from error
    finally:
        if mine:
            # The command has ended, but what it left running may hold the mount: it must not stay for that.
            shared.unmount(target, force=True)


def exec_command(target: Target, command: list[str], terminal: bool) -> list[str]:
    """The engine's command line. CrashcartError for a target whose engine has no exec. Pure."""
    container = target.container
    inner = list(command)
    if inner and "/" not in inner[0]:
        inner = [f"{ROOT}/{BINARIES[0]}/{inner[0]}", *inner[1:]]
    inner = inner or [f"{ROOT}/bin/bash", "--noprofile", "--rcfile", f"{ROOT}/.crashcartrc"]
    flags = ["-it"] if terminal else ["-i"]
    if container.engine == "docker":
        return ["docker", "-H", f"unix://{container.place}", "exec", *flags, container.id, *inner]
    if container.engine == "podman":
        return ["podman", "exec", *flags, container.id, *inner]
    if container.engine in ("runc", "crun", "railcar", "youki"):
        tty = ["--tty"] if terminal else []
        return [container.engine, "--root", container.place, "exec", *tty, container.id, *inner]
    raise CrashcartError(f"{container.describe()} has no engine with an exec: run without -e")
