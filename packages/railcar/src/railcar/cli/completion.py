"""`railcar completion`: completions of bash, zsh and fish, drawn from the declarations."""

import sys

from railcar.cli.declarations import COMMANDS, GLOBAL, Command, Option
from railcar.cli.parse import Arguments, Globals
from railcar.errors import UsageError


def _visible(options: "tuple[Option, ...]") -> list[Option]:
    return [option for option in options if not option.hidden]


def _words(options: "tuple[Option, ...]") -> str:
    """The options as words, the short forms too."""
    found = []
    for option in _visible(options):
        found.append("--" + option.name)
        if option.short:
            found.append("-" + option.short)
    return " ".join(found)


def _takes_id(command: Command) -> bool:
    return "ID" in command.positional and command.name not in ("create", "run")


def _valued(options: "tuple[Option, ...]") -> list[str]:
    """The options that take a value, in both forms."""
    found = []
    for option in _visible(options):
        if option.kind != "flag":
            found += ["--" + option.name] + (["-" + option.short] if option.short else [])
    return found


def bash() -> str:
    """For `source <(railcar completion bash)`."""
    cases = []
    for command in COMMANDS:
        if command.hidden:
            continue
        ids = ' $(railcar "${roots[@]}" list -q 2>/dev/null)' if _takes_id(command) else ""
        cases.append(f'        {command.name}) words="{_words(command.options)} --help{ids}" ;;')
    names = " ".join(command.name for command in COMMANDS if not command.hidden)
    return f"""\
# bash completion for railcar
_railcar() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" index
    local roots=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
        --root | -r) roots=(--root "${{COMP_WORDS[index+1]}}"); ((index++)) ;;
        {" | ".join(word for word in _valued(GLOBAL) if word not in ("--root", "-r"))}) ((index++)) ;;
        -*) ;;
        *) command=${{COMP_WORDS[index]}}; break ;;
        esac
    done
    case $previous in
    --bundle | -b | --image-path | --work-path | --root | -r) mapfile -t COMPREPLY < <(compgen -d -- "$current");
    return ;;
    --pid-file | --log | --process | --resources | --console-socket | --trace)
        mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --format | -f) mapfile -t COMPREPLY < <(compgen -W "table json" -- "$current"); return ;;
    esac
    case $command in
        "") words="{names} {_words(GLOBAL)}" ;;
{chr(10).join(cases)}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _railcar railcar
"""


def _zsh_quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")


def zsh() -> str:
    """For a file `_railcar` in a directory of $fpath."""
    commands = "\n".join(
        f"        '{command.name}:{_zsh_quoted(command.help)}'" for command in COMMANDS if not command.hidden
    )
    cases = []
    for command in COMMANDS:
        if command.hidden:
            continue
        rows = []
        for option in _visible(command.options):
            value = "" if option.kind == "flag" else f":{option.metavar.lower()}:_files"
            many = "*" if option.kind == "list" else ""
            rows.append(f"'{many}--{option.name}[{_zsh_quoted(option.help)}]{value}'")
        if _takes_id(command):
            rows.append("'1:container:($(railcar list -q 2>/dev/null))'")
        joined = " \\\n            ".join(rows) or "'*:argument:_files'"
        cases.append(f"    {command.name})\n        _arguments \\\n            {joined} ;;")
    return f"""\
#compdef railcar
# zsh completion for railcar
local -a commands
local state
_arguments -C '1:command:->command' '*::argument:->argument'
case $state in
command)
    commands=(
{commands}
    )
    _describe command commands ;;
argument)
    case $words[1] in
{chr(10).join(cases)}
    esac ;;
esac
"""


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish() -> str:
    """For a file railcar.fish in a completions directory."""
    lines = ["# fish completion for railcar", "complete -c railcar -f"]
    for option in _visible(GLOBAL):
        lines.append(_fish_option("__fish_use_subcommand", option))
    for command in COMMANDS:
        if command.hidden:
            continue
        lines.append(f"complete -c railcar -n __fish_use_subcommand -a {command.name} -d {_fish_quoted(command.help)}")
        condition = f"'__fish_seen_subcommand_from {command.name}'"
        lines += [_fish_option(condition, option) for option in _visible(command.options)]
        if _takes_id(command):
            lines.append(f"complete -c railcar -n {condition} -a '(railcar list -q 2>/dev/null)'")
    return "\n".join(lines) + "\n"


def _fish_option(condition: str, option: Option) -> str:
    short = f" -s {option.short}" if option.short else ""
    value = "" if option.kind == "flag" else " -r -F"
    return f"complete -c railcar -n {condition} -l {option.name}{short}{value} -d {_fish_quoted(option.help)}"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def run(options: Globals, arguments: Arguments) -> int:
    """Print the completions of one shell."""
    shell = arguments.positional[0]
    if shell not in SHELLS:
        raise UsageError(f'completion: there are none for "{shell}": the shells are {", ".join(SHELLS)}')
    sys.stdout.write(SHELLS[shell]())
    return 0
