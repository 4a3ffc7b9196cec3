"""Completions of bash, zsh and fish, drawn from a description of a command line that one word per shell suffices for.

A program describes itself once, as a ``Program``; ``draw`` gives the script that its user's shell reads.
"""

from collections.abc import Iterable
from typing import NamedTuple

SHELLS = ("bash", "zsh", "fish")


class Option(NamedTuple):
    """``names`` as they are typed. ``value`` is the placeholder of its argument, empty for a switch; ``choices`` are
    all that it may be, and else ``takes`` says what is offered: "file", "directory", or nothing."""

    names: tuple[str, ...]
    help: str
    value: str = ""
    choices: tuple[str, ...] = ()
    takes: str = ""
    repeated: bool = False


class Command(NamedTuple):
    """``target``: its first argument is one of what the program's ``listing`` prints; ``choices``: one of these;
    ``takes``: as of an option."""

    name: str
    help: str
    options: tuple[Option, ...]
    target: bool = False
    choices: tuple[str, ...] = ()
    takes: str = ""


class Program(NamedTuple):
    """``listing`` are the arguments by which it prints what can be named, one a line, and ``passed`` the options with
    values that have to come before those. ``target``: such a name may stand in the place of a command."""

    name: str
    options: tuple[Option, ...]
    commands: tuple[Command, ...]
    listing: str
    passed: tuple[str, ...] = ()
    target: bool = False


def draw(shell: str, program: Program) -> str:
    """The script for one of ``SHELLS``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](program)


def _names(options: Iterable[Option]) -> str:
    return " ".join(name for option in options for name in option.names)


def _bash_reply(action: str) -> str:
    return f'mapfile -t COMPREPLY < <(compgen {action} -- "$current"); return ;;'


def _bash_values(command: str, options: Iterable[Option]) -> list[str]:
    """What may follow an option: a case for each that has a value."""
    cases = []
    for option in options:
        if option.value:
            pattern = " | ".join(f'"{command} {name}"' for name in option.names)
            if option.choices:
                action = f'-W "{" ".join(option.choices)}"'
            else:
                action = {"file": "-f", "directory": "-d"}.get(option.takes, '-W ""')
            cases.append(f"    {pattern}) {_bash_reply(action)}")
    return cases


def _bash(program: Program) -> str:
    values = _bash_values("", program.options)
    words = []
    listed = f' $({program.name} "${{passed[@]}}" {program.listing} 2>/dev/null)'
    for command in program.commands:
        values += _bash_values(command.name, command.options)
        offered = " ".join((*command.choices, _names(command.options))) + (listed if command.target else "")
        files = {"file": ' files="-f"', "directory": ' files="-d"'}.get(command.takes, "")
        words.append(f'    {command.name}) words="{offered}"{files} ;;')
    first = " ".join((*(command.name for command in program.commands), _names(program.options)))
    passed = ""
    if program.passed:
        keep = 'passed+=("${COMP_WORDS[index]}" "${COMP_WORDS[index+1]}"); ((index++))'
        passed = f"{' | '.join(program.passed)}) {keep} ;;\n        "
    valued = " | ".join(_names((option,)).replace(" ", " | ") for option in program.options if option.value)
    lines = "\n".join
    return f"""\
# bash completion for {program.name}
_{program.name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" files="" index
    local passed=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
        {passed}{valued}) ((index++)) ;;
        -*) ;;
        *) command=${{COMP_WORDS[index]}}; break ;;
        esac
    done
    case "$command $previous" in
{lines(values)}
    esac
    case $command in
    "") words="{first}{listed if program.target else ""}" ;;
{lines(words)}
    *) files="-f" ;;
    esac
    mapfile -t COMPREPLY < <(compgen $files -W "$words" -- "$current")
}}
complete -F _{program.name} {program.name}
"""


def _zsh_quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")


_ZSH = {"file": "_files", "directory": "_files -/"}


def _zsh_options(options: Iterable[Option]) -> list[str]:
    rows = []
    for option in options:
        value = ""
        if option.value:
            action = f"({' '.join(option.choices)})" if option.choices else _ZSH.get(option.takes, " ")
            value = f":{_zsh_quoted(option.value.lower())}:{action}"
        many = "*" if option.repeated else ""
        rows += [f"'{many}{name}[{_zsh_quoted(option.help)}]{value}'" for name in option.names]
    return rows


def _zsh_arguments(command: Command, listed: str) -> list[str]:
    rows = _zsh_options(command.options)
    if command.choices:
        rows.append(f"'1:argument:({' '.join(command.choices)})'")
    if command.target:
        rows.append(f"'1:target:({listed})'")
    if command.takes:
        rows.append(f"'*:argument:{_ZSH[command.takes]}'")
    return rows


def _zsh(program: Program) -> str:
    more = " \\\n        "
    described = "\n".join(f"        '{command.name}:{_zsh_quoted(command.help)}'" for command in program.commands)
    listed = f"$({program.name} {program.listing} 2>/dev/null)"
    cases = []
    for command in program.commands:
        rows = _zsh_arguments(command, listed)
        what = f"_arguments{more}{more.join(rows)}" if rows else "_message 'no more arguments'"
        cases.append(f"    {command.name})\n        {what} ;;")
    targets = ""
    if program.target:
        targets = f'\n    targets=(${{(f)"{listed}"}})\n    _describe target targets'
    options = "".join(f"{row}{more}" for row in _zsh_options(program.options))
    return f"""\
#compdef {program.name}
# zsh completion for {program.name}
local -a commands targets
local state
_arguments -C{more}{options}'1:command:->command' '*::argument:->argument'
case $state in
command)
    commands=(
{described}
    ){targets}
    _describe command commands ;;
argument)
    case $words[1] in
{chr(10).join(cases)}
    *) _files ;;
    esac ;;
esac
"""


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(program: str, condition: str, option: Option) -> str:
    flags = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names)
    if not option.value:
        value = ""
    elif option.choices:
        value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
    else:
        value = {"file": " -r -F", "directory": " -x -a '(__fish_complete_directories)'"}.get(option.takes, " -x")
    return f"complete -c {program} -n {condition}{flags}{value} -d {_fish_quoted(option.help)}"


# __fish_use_subcommand would take the value of an option for a command.
_FISH_FIRST = """\
function {first}
    set -l value no
    for word in (commandline -opc)[2..-1]
        if test $value = yes
            set value no
            continue
        end
        switch $word
            case {valued}
                set value yes
            case '-*'
            case '*'
                return 1
        end
    end
end"""


def _fish(program: Program) -> str:
    name, first = program.name, f"__{program.name}_has_no_command"
    valued = _names(option for option in program.options if option.value)
    listed = _fish_quoted(f"({program.name} {program.listing} 2>/dev/null)")
    lines = [f"# fish completion for {name}", _FISH_FIRST.format(first=first, valued=valued), f"complete -c {name} -f"]
    if program.target:
        lines.append(f"complete -c {name} -n {first} -a {listed}")
    lines += [_fish_option(name, first, option) for option in program.options]
    for command in program.commands:
        lines.append(f"complete -c {name} -n {first} -a {command.name} -d {_fish_quoted(command.help)}")
        condition = f"'__fish_seen_subcommand_from {command.name}'"
        lines += [_fish_option(name, condition, option) for option in command.options]
        if command.choices:
            lines.append(f"complete -c {name} -n {condition} -a {_fish_quoted(' '.join(command.choices))}")
        if command.target:
            lines.append(f"complete -c {name} -n {condition} -a {listed}")
        if command.takes:
            lines.append(f"complete -c {name} -n {condition} -F")
    return "\n".join(lines) + "\n"
