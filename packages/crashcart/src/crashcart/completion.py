"""``crashcart completion``: what its command line is, for the shells."""

from __future__ import annotations

from ocicommon import completion

from crashcart import arguments, declared
from crashcart.errors import UsageError

_CHOICES = {
    "--profile": arguments.PROFILES,
    "--only": arguments.NAMESPACES,
    "--format": ("erofs", "squashfs", "ext4"),
    "--preset": ("default", "tiny"),
}
_NO_FILES = ("--user", "--platform")


def script(shell: str, session: tuple[declared.Option, ...], commands: tuple[declared.Command, ...]) -> str:
    """The completions for one shell. UsageError for a shell that there are none for."""
    if shell not in completion.SHELLS:
        raise UsageError(f"no completions for '{shell}': there are those for {', '.join(completion.SHELLS)}")
    program = completion.Program(
        "crashcart",
        tuple(_option(option) for option in session),
        tuple(_command(command) for command in commands),
        "list --quiet",
        target=True,
    )
    return completion.draw(shell, program)


def _option(option: declared.Option) -> completion.Option:
    choices = next((_CHOICES[name] for name in option.names if name in _CHOICES), ())
    takes = "directory" if option.value in ("DIR", "ROOT") else "file"
    if any(name in _NO_FILES for name in option.names):
        takes = ""
    return completion.Option(option.names, option.help, option.value, choices, takes)


def _command(command: declared.Command) -> completion.Command:
    shells = completion.SHELLS if command.name == "completion" else ()
    takes = "file" if command.arguments and not shells else ""
    return completion.Command(
        command.name, command.help, tuple(_option(option) for option in command.options), choices=shells, takes=takes
    )
