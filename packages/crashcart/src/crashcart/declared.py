"""What the command line takes, for the manual page and the completions: read off the declarations themselves."""

from __future__ import annotations

from crashcart.arguments import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Command", "Option", "of_app"]


class Command:
    """A subcommand: ``arguments`` are the placeholders of what is not an option."""

    __slots__ = ("arguments", "help", "name", "options")

    def __init__(self, name: str, help: str, arguments: tuple[str, ...], options: tuple[Option, ...]) -> None:
        self.name = name
        self.help = help
        self.arguments = arguments
        self.options = options


def of_app(app: Any) -> tuple[Command, ...]:
    """The subcommands of a typer application, in the order of their declaration."""
    import typer.main

    group: Any = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():
        options = tuple(
            Option(" ".join(sorted(one.opts, key=len)), one.help or "", "" if one.is_flag else one.name.upper())
            for one in command.params
            if one.param_type_name == "option"
        )
        places = tuple(one.name.upper() for one in command.params if one.param_type_name == "argument")
        found.append(Command(name, command.get_short_help_str(200), places, options))
    return tuple(found)
