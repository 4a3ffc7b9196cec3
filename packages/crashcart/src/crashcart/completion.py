"""``crashcart completion``: completions of bash, zsh and fish, drawn from the declarations of options."""

from __future__ import annotations

from crashcart import arguments
from crashcart.declared import Command, Option
from crashcart.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_IDS = "$(crashcart list --quiet 2>/dev/null)"
_CHOICES = {"--profile": arguments.PROFILES, "--format": ("erofs", "squashfs", "ext4"), "--preset": ("default", "tiny")}
SHELLS = ("bash", "zsh", "fish")


def script(shell: str, session: tuple[Option, ...], commands: tuple[Command, ...]) -> str:
    """The completions for one shell. UsageError for a shell that there are none for."""
    if shell not in SHELLS:
        raise UsageError(f"no completions for '{shell}': there are those for {', '.join(SHELLS)}")
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](session, commands)


def _words(options: Iterable[Option]) -> str:
    return " ".join(name for option in options for name in option.names)


def _bash(session: tuple[Option, ...], commands: tuple[Command, ...]) -> str:
    valued = " | ".join(name for option in session if option.value for name in option.names)
    cases = "\n".join(f'    {command.name}) words="{_words(command.options)}" ;;' for command in commands)
    choices = "\n".join(
        f'    {name}) mapfile -t COMPREPLY < <(compgen -W "{" ".join(values)}" -- "$current"); return ;;'
        for name, values in _CHOICES.items()
    )
    names = " ".join(command.name for command in commands)
    return f"""\
# bash completion for crashcart
_crashcart() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
        {valued}) ((index++)) ;;
        -*) ;;
        *) command=${{COMP_WORDS[index]}}; break ;;
        esac
    done
    case $previous in
{choices}
    --dir | --root) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    esac
    case $command in
    "") words="{names} {_words(session)} {_IDS}" ;;
{cases}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    if [ "${{#COMPREPLY[@]}}" -eq 0 ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}}
complete -F _crashcart crashcart
"""


def _zsh_quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")


def _zsh_options(options: Iterable[Option]) -> str:
    rows = []
    for option in options:
        chosen = next((_CHOICES[name] for name in option.names if name in _CHOICES), None)
        action = f"({' '.join(chosen)})" if chosen else "_files"
        value = f":{option.value.lower()}:{action}" if option.value else ""
        rows += [f"'{name}[{_zsh_quoted(option.help)}]{value}'" for name in option.names]
    return " \\\n        ".join(rows)


def _zsh(session: tuple[Option, ...], commands: tuple[Command, ...]) -> str:
    described = "\n".join(f"        '{command.name}:{_zsh_quoted(command.help)}'" for command in commands)
    cases = "\n".join(
        f"    {command.name})\n        _arguments \\\n        {_zsh_options(command.options)} \\\n"
        + "        '*:file:_files' ;;"
        for command in commands
    )
    return f"""\
#compdef crashcart
# zsh completion for crashcart
local -a commands containers
local state
_arguments -C \\
        {_zsh_options(session)} \\
        '1:container or command:->target' '*::argument:->argument'
case $state in
target)
    commands=(
{described}
    )
    containers=(${{(f)"{_IDS}"}})
    _describe container containers
    _describe command commands ;;
argument)
    case $words[1] in
{cases}
    *) _files ;;
    esac ;;
esac
"""


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(condition: str, option: Option) -> str:
    flags = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names)
    chosen = next((_CHOICES[name] for name in option.names if name in _CHOICES), None)
    value = "" if not option.value else f" -x -a '{' '.join(chosen)}'" if chosen else " -r -F"
    return f"complete -c crashcart -n {condition}{flags}{value} -d {_fish_quoted(option.help)}"


def _fish(session: tuple[Option, ...], commands: tuple[Command, ...]) -> str:
    lines = ["# fish completion for crashcart", "complete -c crashcart -f"]
    first = "__fish_use_subcommand"
    lines.append(f"complete -c crashcart -n {first} -a '(crashcart list --quiet 2>/dev/null)'")
    lines += [_fish_option(first, option) for option in session]
    for command in commands:
        lines.append(f"complete -c crashcart -n {first} -a {command.name} -d {_fish_quoted(command.help)}")
        lines += [_fish_option(f"'__fish_seen_subcommand_from {command.name}'", option) for option in command.options]
    return "\n".join(lines) + "\n"
