"""`railcar man`: manual pages in man(7)'s language, drawn from the declarations."""

import sys

from railcar import __version__
from railcar.cli.declarations import COMMANDS, GLOBAL, Command, Option
from railcar.cli.examples import EXAMPLES
from railcar.cli.parse import Arguments, Globals, find_command

STATUS = (
    ("0", "It was done."),
    ("1", "It failed; the last line on standard error says why."),
    ("3", "There is no such command."),
    (
        "255",
        "exec could not run the program. Otherwise run and exec give the program's own code, 128 + N after signal N.",
    ),
)


def escaped(text: str) -> str:
    """Text that troff takes as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def _option(option: Option) -> str:
    short = f"\\fB\\-{option.short}\\fR, " if option.short else ""
    value = "" if option.kind == "flag" else f" \\fI{escaped(option.metavar)}\\fR"
    text = escaped(option.help) + "."
    if option.kind == "list":
        text += " May be repeated."
    if option.default not in ("", "0"):
        text += f" Default: {escaped(option.default)}."
    return f".TP\n{short}\\fB\\-\\-{escaped(option.name)}\\fR{value}\n{text}\n"


def _examples(name: str) -> str:
    rows = EXAMPLES[name]
    return ".SH EXAMPLES\n" + "".join(f".TP\n\\fB{escaped(line)}\\fR\n{escaped(text)}\n" for line, text in rows)


def _head(name: str, text: str) -> str:
    return f'.TH {name.upper()} 8 "" "railcar {__version__}" "railcar"\n.SH NAME\n{escaped(name)} \\- {escaped(text)}\n'


def page(command: Command) -> str:
    """The page of one command."""
    words = " ".join(command.positional)
    options = "".join(_option(option) for option in command.options if not option.hidden)
    help_option = _option(GLOBAL[-1])
    return (
        _head(f"railcar-{command.name}", command.help[:1].lower() + command.help[1:])
        + f".SH SYNOPSIS\n\\fBrailcar\\fR [GLOBAL OPTIONS] \\fB{escaped(command.name)}\\fR [OPTIONS] {escaped(words)}\n"
        + f".SH OPTIONS\n{options}{help_option}"
        + _examples(command.name)
        + ".SH SEE ALSO\nrailcar(8)\n"
    )


def overview() -> str:
    """The page of railcar."""
    commands = "".join(
        f".TP\n\\fB{escaped(command.name)}\\fR\n{escaped(command.help)}.\n"
        for command in COMMANDS
        if not command.hidden
    )
    status = "".join(f".TP\n\\fB{code}\\fR\n{escaped(text)}\n" for code, text in STATUS)
    return (
        _head("railcar", "an OCI runtime in Python")
        + ".SH SYNOPSIS\n\\fBrailcar\\fR [GLOBAL OPTIONS] COMMAND [OPTIONS] ARGUMENTS\n"
        + ".SH DESCRIPTION\nrailcar runs a bundle, which is a directory with config.json and a root filesystem, as a "
        + "container.\nIts command line is that of runc, so that engines call it in runc's place.\n"
        + f".SH COMMANDS\n{commands}"
        + f".SH GLOBAL OPTIONS\n{''.join(_option(option) for option in GLOBAL if not option.hidden)}"
        + ".SH ENVIRONMENT\n.TP\n\\fBRAILCAR_TRACE\\fR\nFile that gets a span per step, as JSON lines.\n"
        + f".SH EXIT STATUS\n{status}"
        + _examples("")
        + ".SH SEE ALSO\n"
        + ", ".join(f"railcar\\-{escaped(command.name)}(8)" for command in COMMANDS if not command.hidden)
        + "\n"
    )


def run(options: Globals, arguments: Arguments) -> int:
    """Print the page of a command, or of railcar."""
    name = arguments.positional[0] if arguments.positional else ""
    sys.stdout.write(page(find_command(name)) if name else overview())
    return 0
