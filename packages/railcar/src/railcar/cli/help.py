"""Help pages and shell completion, drawn from the declarations."""

import os
import sys

from railcar.cli.declarations import COMMANDS, GLOBAL, Command, Option
from railcar.cli.parse import find_command


def page(name: str = "") -> str:
    """The help of one command, or of all. Raises UsageError for a name that is none."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "railcar"
    if program.startswith("__"):
        program = "railcar"
    if not name:
        return _overview(program)
    command = find_command(name)
    words = " ".join(command.positional)
    usage = f"{program} {command.name} [OPTIONS] {words}".rstrip()
    return (
        f"NAME:\n   {program} {command.name} - {command.help}\n\nUSAGE:\n   {usage}\n\n"
        f"OPTIONS:\n{_table((*command.options, GLOBAL[-1]))}"
    )


def _overview(program: str) -> str:
    width = max(len(command.name) for command in COMMANDS)
    rows = [f"  {command.name:<{width}}  {command.help}" for command in COMMANDS if not command.hidden]
    return (
        f"NAME:\n   {program} - an OCI runtime: it runs a bundle (config.json and a root filesystem)\n\n"
        f"USAGE:\n   {program} [GLOBAL OPTIONS] COMMAND [OPTIONS] ARGUMENTS\n\n"
        "COMMANDS:\n" + "\n".join(rows) + f"\n\nGLOBAL OPTIONS:\n{_table(GLOBAL)}"
        f"\n`{program} COMMAND --help` explains one command.\n"
    )


def _table(options: tuple[Option, ...]) -> str:
    rows = []
    for option in options:
        if option.hidden:
            continue
        left = f"-{option.short}, " if option.short else "    "
        left += f"--{option.name}" + ("" if option.kind == "flag" else f" {option.metavar}")
        text = option.help
        if option.kind == "list":
            text += " (may be repeated)"
        if option.default not in ("", "0"):
            text += f" [{option.default}]"
        rows.append((left, text))
    width = max(len(left) for left, _ in rows)
    return "".join(f"  {left:<{width}}  {text}\n" for left, text in rows)


def completions(command: "Command | None") -> list[str]:
    """The words that may follow: commands and global options, or a command's options."""
    options = GLOBAL if command is None else (*command.options, GLOBAL[-1])
    words = [f"--{option.name}" for option in options if not option.hidden]
    if command is None:
        words += [known.name for known in COMMANDS if not known.hidden]
    return words
