"""`railcar completion`: what its command line is, for the shells."""

import sys

from ocicommon import completion

from railcar.cli import declarations
from railcar.cli.parse import Arguments, Globals
from railcar.errors import UsageError

_CHOICES = {
    "format": ("table", "json"),
    "log-format": ("text", "json"),
    "cgroup-manager": ("cgroupfs", "systemd", "disabled"),
    "rootless": ("true", "false", "auto"),
    "manage-cgroups-mode": ("soft", "full", "strict", "ignore"),
}
_TAKES = {"FILE": "file", "PATH": "file", "DIR": "directory", "BUNDLE": "directory"}


def _option(option: declarations.Option) -> completion.Option:
    names = (f"--{option.name}", *((f"-{option.short}",) if option.short else ()))
    if option.kind == "flag":
        return completion.Option(names, option.help)
    choices, takes = _CHOICES.get(option.name, ()), _TAKES.get(option.metavar, "")
    return completion.Option(names, option.help, option.metavar, choices, takes, option.kind == "list")


def _command(command: declarations.Command) -> completion.Command:
    shown = declarations.BY_NAME.values()
    names = tuple(one.name for one in shown if not one.hidden) if command.name == "man" else ()
    return completion.Command(
        command.name,
        command.help,
        (*_options(command.options), _option(declarations.Option("help", "flag", "Show this and exit", "h"))),
        target="ID" in command.positional and command.name not in ("create", "run", "restore"),
        choices=completion.SHELLS if command.name == "completion" else names,
        takes=_TAKES.get(command.positional[0], "") if command.positional else "",
    )


def _options(options: tuple[declarations.Option, ...]) -> tuple[completion.Option, ...]:
    return tuple(_option(option) for option in options if not option.hidden)


def program() -> completion.Program:
    """The whole command line."""
    commands = tuple(_command(command) for command in declarations.COMMANDS if not command.hidden)
    return completion.Program(
        "railcar", _options(declarations.GLOBAL), commands, "list --quiet", passed=("--root", "-r")
    )


def run(options: Globals, arguments: Arguments) -> int:
    """Print the completions of one shell."""
    shell = arguments.positional[0]
    if shell not in completion.SHELLS:
        shells = ", ".join(completion.SHELLS)
        raise UsageError(f'completion: there are none for "{shell}": the shells are {shells}')
    sys.stdout.write(completion.draw(shell, program()))
    return 0
