"""Help pages: a typer application drawn from the declarations, by which argv is read. Loaded for help alone."""

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from railcar.cli.declarations import COMMANDS, GLOBAL, Option
from railcar.cli.examples import EXAMPLES
from railcar.cli.parse import find_command

SUMMARY = "an OCI runtime: it runs a bundle (config.json and a root filesystem)"
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
_TYPES = {"flag": bool, "text": str, "number": int, "list": list[str]}


def page(name: str = "") -> str:
    """The help of one command, or of all. Raises UsageError for a name that is none."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "railcar"
    if program.startswith("__"):
        program = "railcar"
    group = typer.main.get_command(application())
    context = group.make_context(program, [], resilient_parsing=True)
    if not name:
        return group.get_help(context) + "\n"
    command = group.commands[find_command(name).name]  # type: ignore[attr-defined]
    return str(command.get_help(type(context)(command, info_name=name, parent=context))) + "\n"


class _Command(TyperCommand):
    """One command's page: sections named as runc names them, since people and tests look for those."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        declared = find_command(str(self.name))
        _section(formatter, "NAME", f"{ctx.command_path} - {declared.help}")
        _section(formatter, "USAGE", " ".join((ctx.command_path, "[OPTIONS]", *declared.positional)))

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Said under NAME."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _options(formatter, "OPTIONS", self, ctx)
        _examples(formatter, str(self.name))


class _Group(TyperGroup):
    """The first page."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        _section(formatter, "NAME", f"{ctx.command_path} - {SUMMARY}")
        _section(formatter, "USAGE", f"{ctx.command_path} [GLOBAL OPTIONS] COMMAND [OPTIONS] ARGUMENTS")

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Said under NAME."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("COMMANDS"):
            formatter.write_dl([(command.name, command.help) for command in COMMANDS if not command.hidden])
        _options(formatter, "GLOBAL OPTIONS", self, ctx)
        _examples(formatter, "")
        formatter.write_paragraph()
        formatter.write_text(f"`{ctx.command_path} COMMAND --help` explains one command.")


def application() -> typer.Typer:
    """The declarations as a typer application."""
    app = typer.Typer(cls=_Group, add_completion=False, rich_markup_mode=None, context_settings=_SETTINGS)
    app.callback()(_signed(GLOBAL[:-1]))
    for command in COMMANDS:
        app.command(command.name, cls=_Command, help=command.help, hidden=command.hidden)(_signed(command.options))
    return app


def _signed(options: tuple[Option, ...]) -> Callable[..., None]:
    """A function whose signature has a parameter for each option, as typer reads them."""

    def call(**values: Any) -> None:
        """Help is all that this application is asked for."""

    parameters = [
        inspect.Parameter(
            option.name.replace("-", "_"),
            inspect.Parameter.KEYWORD_ONLY,
            annotation=_TYPES[option.kind],
            default=typer.Option(
                None,
                *(f"--{option.name}", *([f"-{option.short}"] if option.short else [])),
                help=_text(option),
                metavar=None if option.kind == "flag" else option.metavar,
                hidden=option.hidden,
            ),
        )
        for option in options
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _text(option: Option) -> str:
    many = " (may be repeated)" if option.kind == "list" else ""
    default = f" [{option.default}]" if option.default not in ("", "0") else ""
    return option.help + many + default


def _section(formatter: Any, title: str, text: str) -> None:
    with formatter.section(title):
        formatter.write_text(text)


def _options(formatter: Any, title: str, command: Any, context: Any) -> None:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    with formatter.section(title):
        formatter.write_dl([record for record in records if record])


def _examples(formatter: Any, name: str) -> None:
    with formatter.section("EXAMPLES"):
        for line, text in EXAMPLES[name]:
            formatter.write_text(f"$ {line}")
            with formatter.indentation():
                formatter.write_text(text)
