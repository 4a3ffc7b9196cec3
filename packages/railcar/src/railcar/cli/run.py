"""`railcar run`: create, start, wait, delete."""

import os

from railcar import creating, removing, starting
from railcar.cli import log
from railcar.cli.creation import options_of
from railcar.cli.parse import Arguments, Globals
from railcar.errors import RailcarError
from railcar.plan.container import Options


def run(options: Globals, arguments: Arguments) -> int:
    """The program's exit code, 128 + N after signal N; 0 at once with --detach."""
    wanted = options_of(options, arguments)
    detach = arguments.flag("detach") or arguments.flag("daemonize")
    keep = arguments.flag("keep")
    bundle = arguments.text("bundle") or "."
    if detach:
        return _detached(options, arguments, wanted, bundle)
    from railcar import console
    from railcar.foreground import Foreground

    foreground = Foreground(making=True)
    try:
        created = creating.create(options.root, arguments.positional[0], bundle, wanted, relay=True)
        foreground.hold()
        for warning in created.warnings:
            log.warn(warning)
        try:
            if created.console is not None:
                master = console.receive(created.console)
                if master >= 0:
                    foreground.attach(master)
            foreground.hold()
            _start(created)
            code = foreground.run(created.pid, created.pidfd)
        except BaseException:
            if not keep:
                removing.discard(created.record, "running")
            raise
    finally:
        foreground.close()
    if not keep:
        for warning in removing.discard(created.record):
            log.warn(warning)
    return code


def _start(created: creating.Created) -> None:
    if created.go < 0:
        return
    os.close(created.reply)
    starting.release(created.record, created.go, created.pidfd)
    starting.after(created.record)


def _detached(options: Globals, arguments: Arguments, wanted: Options, bundle: str) -> int:
    created = creating.create(options.root, arguments.positional[0], bundle, wanted)
    for warning in created.warnings:
        log.warn(warning)
    try:
        _start(created)
    except RailcarError:
        removing.discard(created.record, "running")
        raise
    return 0
