"""argv -> (globals, command, arguments), by the declarations alone.

As engines call: `--name value` and `--name=value`, one dash or two before a long name, options before the id.
"""

from railcar.cli.declarations import BY_NAME, GLOBAL, Command, Option
from railcar.errors import UsageError


class Globals:
    """The options before the command. `root` is a directory path, as given or by default."""

    __slots__ = (
        "cgroup_manager",
        "debug",
        "log",
        "log_format",
        "root",
        "rootless",
        "systemd_cgroup",
        "trace",
        "values",
    )

    def __init__(self, values: "dict[str, str | bool | list[str]]", root: str) -> None:
        self.values = values
        self.root = root
        self.log = _text(values, "log")
        self.log_format = _text(values, "log-format") or "text"
        self.debug = bool(values.get("debug") or values.get("verbose"))
        self.cgroup_manager = _text(values, "cgroup-manager") or "cgroupfs"
        self.systemd_cgroup = bool(values.get("systemd-cgroup")) or self.cgroup_manager == "systemd"
        self.rootless = _text(values, "rootless") or "auto"
        self.trace = _text(values, "trace")


def _text(values: "dict[str, str | bool | list[str]]", name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


class Arguments:
    """A command's options and positional arguments. Options are asked for by the names of the declarations."""

    __slots__ = ("command", "positional", "values")

    def __init__(self, command: Command, values: "dict[str, str | bool | list[str]]", positional: list[str]) -> None:
        self.command, self.values, self.positional = command, values, positional

    def flag(self, name: str) -> bool:
        """True when the flag was given (and not as `--name=false`)."""
        return bool(self.values.get(name))

    def text(self, name: str) -> "str | None":
        """The option's value, its declared default, or None."""
        value = self.values.get(name)
        if isinstance(value, str):
            return value
        for option in self.command.options:
            if option.name == name:
                return option.default or None
        return None

    def number(self, name: str) -> "int | None":
        """The option's value as a whole number (negative ones too), or None. Raises UsageError."""
        value = self.text(name)
        return None if value is None else whole_number(value, f"--{name}")

    def many(self, name: str) -> list[str]:
        """All values of an option that may be repeated."""
        value = self.values.get(name)
        return value if isinstance(value, list) else []

    def given(self, name: str) -> bool:
        """True when the option was on the command line."""
        return name in self.values


def whole_number(text: str, name: str, minimum: "int | None" = None, maximum: "int | None" = None) -> int:
    """Decimal ASCII digits with an optional minus sign, nothing else. Raises UsageError that names `name`."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
        raise UsageError(f'{name}: "{text}" is not a whole number')
    number = int(text)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise UsageError(f"{name}: {text} is outside {minimum} to {maximum}")
    return number


def parse_globals(argv: list[str], default_root: str) -> "tuple[Globals, list[str]]":
    """Read the global options from the front of `argv`; the rest starts with the command. Raises UsageError."""
    values, rest = _options(argv, GLOBAL, stop=True, where="railcar")
    result = Globals(values, _text(values, "root") or default_root)
    if result.log_format not in ("text", "json"):
        raise UsageError(f'--log-format is "{result.log_format}": it can be text or json')
    if result.cgroup_manager not in ("cgroupfs", "systemd", "disabled"):
        raise UsageError(f'--cgroup-manager is "{result.cgroup_manager}": it can be cgroupfs, systemd or disabled')
    if result.rootless not in ("true", "false", "auto", "1", "0"):
        raise UsageError(f'--rootless is "{result.rootless}": it can be true, false or auto')
    return result, rest


def find_command(name: str, help_wanted: bool = False) -> Command:
    """The declaration of `name`. Raises UsageError with code 3, as runc, and the nearest name."""
    found = BY_NAME.get(name)
    if found is not None:
        return found
    near = [known for known in BY_NAME if known.startswith(name[:2])]
    hint = f" (perhaps {' or '.join(near)}?)" if near else ""
    missing = f"No help topic for '{name}'" if help_wanted else f'no such command: "{name}"'
    raise UsageError(f"{missing}{hint}; `railcar --help` lists them", 3)


def parse_command(command: Command, argv: list[str]) -> Arguments:
    """Read what follows the command's name. Raises UsageError; `--help` is left in `values`."""
    values, positional = _options(argv, (*command.options, GLOBAL[-1]), stop=command.rest, where=command.name)
    if values.get("help"):
        return Arguments(command, values, positional)
    if command.rest and len(positional) > 1 and positional[1] == "--":
        del positional[1]
    wanted = " ".join(command.positional)
    if len(positional) < command.minimum:
        missing = command.positional[len(positional)]
        raise UsageError(f"{command.name}: {missing} is missing: railcar {command.name} [OPTIONS] {wanted}")
    if 0 <= command.maximum < len(positional):
        extra = positional[command.maximum]
        raise UsageError(
            f'{command.name}: "{extra}" is one argument too many: railcar {command.name} [OPTIONS] {wanted}'
        )
    return Arguments(command, values, positional)


def _options(
    argv: list[str], options: "tuple[Option, ...]", stop: bool, where: str
) -> "tuple[dict[str, str | bool | list[str]], list[str]]":
    """Split `argv` into option values and the rest; with `stop`, the first word that is no option ends the options."""
    known: dict[str, Option] = {}
    for option in options:
        known[option.name] = option
        if option.short:
            known[option.short] = option
    values: dict[str, str | bool | list[str]] = {}
    rest: list[str] = []
    position = 0
    while position < len(argv):
        word = argv[position]
        position += 1
        if word == "--":
            rest.extend(argv[position:])
            break
        if not word.startswith("-") or word == "-" or (rest and word[1:].isdigit()):
            if stop:
                rest.extend(argv[position - 1 :])
                break
            rest.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        found = known.get(name)
        if found is None and not word.startswith("--") and len(name) > 1 and name[0] in known:
            found, value, equals, position = _cluster(known, name, word, values, argv, position, where)
        if found is None:
            raise UsageError(f"{where}: there is no option {_unknown(word, options)}; `{_helper(where)}` lists them")
        if found.kind == "flag":
            values[found.name] = _truth(found, value) if equals else True
            continue
        if not equals:
            if position >= len(argv):
                raise UsageError(f"{where}: --{found.name} {found.metavar}: flag needs an argument: -{found.name}")
            value = argv[position]
            position += 1
        if found.kind == "list":
            earlier = values.setdefault(found.name, [])
            if isinstance(earlier, list):
                earlier.append(value)
        else:
            values[found.name] = value
    return values, rest


def _unknown(word: str, options: "tuple[Option, ...]") -> str:
    """The word without its value, and what was perhaps meant."""
    from railcar.spelling import nearly

    given = word.partition("=")[0]
    near = [option.name for option in options if not option.hidden and nearly(given.lstrip("-"), option.name)]
    return given + (f" (perhaps --{' or --'.join(near)}?)" if near else "")


def _cluster(
    known: "dict[str, Option]",
    letters: str,
    word: str,
    values: "dict[str, str | bool | list[str]]",
    argv: list[str],
    position: int,
    where: str,
) -> "tuple[Option | None, str, str, int]":
    """`-it` and `-uroot`: single letters joined in one word."""
    for index, letter in enumerate(letters):
        option = known.get(letter)
        if option is None or option.short != letter:
            raise UsageError(f"{where}: there is no option -{letter} (in {word}); `{_helper(where)}` lists them")
        last = index == len(letters) - 1
        if option.kind != "flag":
            tail = letters[index + 1 :]
            return option, tail, "" if last else "=", position
        if last:
            return option, "", "", position
        values[option.name] = True
    return None, "", "", position


def _truth(option: Option, value: str) -> bool:
    if value in ("true", "1", "t", "T", "TRUE", "True"):
        return True
    if value in ("false", "0", "f", "F", "FALSE", "False"):
        return False
    raise UsageError(f'--{option.name} is "{value}": it can be true or false')


def _helper(where: str) -> str:
    return "railcar --help" if where == "railcar" else f"railcar {where} --help"
