"""A paused container: a session can enter it, but its processes stand still, which the user should know."""

from __future__ import annotations

import os
import time

from crashcart import procfs, report
from crashcart.errors import CrashcartError
from crashcart.targets import Target

_SECONDS = 30.0


def handle(target: Target, *, resume: bool) -> None:
    """Say that the target is paused, or resume it when asked to."""
    try:
        frozen = procfs.is_frozen(target.pid)
    except OSError:
        return
    if not frozen:
        if resume:
            report.note("the container is not paused: nothing to resume")
        return
    if not resume:
        report.say(f"{target.container.describe()} is paused: its processes stand still; --resume resumes it first")
        return
    command = resume_command(target)
    report.note(f"resuming: {' '.join(command)}")
    import subprocess

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CrashcartError(f"cannot resume by `{' '.join(command)}`: {error.strerror}") from error
    if done.returncode:
        raise CrashcartError(f"cannot resume by `{' '.join(command)}`: {done.stderr.strip()}")
    deadline = time.monotonic() + _SECONDS
    while procfs.is_frozen(target.pid):
        if time.monotonic() > deadline:
            raise CrashcartError(f"{target.container.describe()} is still paused after `{' '.join(command)}`")
        time.sleep(0.005)


def resume_command(target: Target) -> list[str]:
    """How the engine that paused it resumes it. CrashcartError for what has no engine."""
    container = target.container
    if container.engine == "docker":
        return ["docker", "-H", f"unix://{container.place}", "unpause", container.id]
    if container.engine == "podman":
        return ["podman", "unpause", container.id]
    if container.engine == "containerd":
        return ["ctr", "-n", container.namespace, "tasks", "resume", container.id]
    if container.engine in ("runc", "crun", "railcar", "youki"):
        return [container.engine, "--root", os.path.normpath(container.place), "resume", container.id]
    if container.engine == "lxc" and container.place:
        return ["lxc-unfreeze", "-P", container.place, "-n", container.id]
    raise CrashcartError(f"{container.describe()} is paused by something unknown: resume it yourself, then enter")
