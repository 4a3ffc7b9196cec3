"""The command line of a session: declared as data, read up to the container's ID and not beyond.

What stands behind ID is the command, so that ``crashcart ID tcpdump -i eth0`` keeps its ``-i``. The ``--`` between
them may be left out. typer makes the help from the same table (``usage.py``), but is too slow to start for each entry.
"""

from __future__ import annotations

from crashcart.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = "usage: crashcart [-i IMAGE] [-m | -u | -e] [-v] ID [-- CMD ...]   (crashcart --help tells more)"
SUBCOMMANDS = ("list", "build", "verify", "completion", "man")
PROFILES = ("debug", "strict", "privileged")
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")


class Option:
    """One option: ``value`` is the placeholder of its argument, empty for a switch."""

    __slots__ = ("help", "names", "value")

    def __init__(self, names: str, help: str, value: str = "") -> None:
        self.names = tuple(names.split())
        self.help = help
        self.value = value

    @property
    def key(self) -> str:
        return self.names[-1].lstrip("-").replace("-", "_")


OPTIONS = (
    Option("-i --image", "Image with the tools: a file, or a name looked up in the data directories.", "IMAGE"),
    Option("-m --mount", "Mount the image at /dev/crashcart for the container's own processes, and leave it."),
    Option("-u --unmount", "Take away what -m mounted."),
    Option("-e --exec", "Mount, run the command by the engine's own exec, unmount."),
    Option("-v --verbose", "Say on standard error which way is taken."),
    Option("-U --user", "Run the command as this user (numbers).", "UID[:GID]"),
    Option("--profile", "Privileges of the session: debug (default), strict, privileged.", "PROFILE"),
    Option("--dir", "Side-load this directory instead of an image; needs no root.", "DIR"),
    Option("--root", "Also look for containers in this state directory (runc --root, containerd --state).", "DIR"),
    Option("--cgroup", "Join the container's cgroups, and so its limits."),
    Option("--only", "Enter only these namespaces, e.g. net,pid.", "LIST"),
    Option("--net-only", "The same as --only net: the host's files, the container's network."),
    Option("--resume", "Resume a paused container first."),
    Option("--force", "With -u: unmount although the tools are in use."),
    Option("-V --version", "Print the version."),
    Option("-h --help", "Print the help."),
)
_BY_NAME = {name: option for option in OPTIONS for name in option.names}


class Arguments:
    """A read command line. Every option of OPTIONS is an attribute: str or None with a value, bool without."""

    image: str | None
    mount: bool
    unmount: bool
    exec: bool
    verbose: bool
    user: str | None
    profile: str
    dir: str | None
    root: str | None
    cgroup: bool
    only: str | None
    net_only: bool
    resume: bool
    force: bool
    version: bool
    help: bool

    def __init__(self) -> None:
        for option in OPTIONS:
            setattr(self, option.key, None if option.value else False)
        self.profile = "debug"
        self.target = ""
        self.command: list[str] = []

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to enter."""
        if self.net_only:
            return ("net",)
        return tuple(self.only.split(",")) if self.only else NAMESPACES


def parse(argv: Sequence[str]) -> Arguments:
    """Read ``argv`` (without the program's name). UsageError when it makes no sense."""
    arguments = Arguments()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            words.insert(0, word)
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            _apply(arguments, name, value if equals else None, words)
        else:
            _short(arguments, word, words)
    if arguments.help or arguments.version:
        return arguments
    arguments.target = words.pop(0) if words else ""
    if words and words[0] == "--":
        words.pop(0)
    arguments.command = words
    _check(arguments)
    return arguments


def _short(arguments: Arguments, word: str, words: list[str]) -> None:
    for index, letter in enumerate(word[1:], 1):
        option = _BY_NAME.get(f"-{letter}")
        if option is not None and option.value:
            _apply(arguments, f"-{letter}", word[index + 1 :] or None, words)
            return
        _apply(arguments, f"-{letter}", None, words)


def _apply(arguments: Arguments, name: str, value: str | None, words: list[str]) -> None:
    option = _BY_NAME.get(name)
    if option is None:
        raise UsageError(f"unknown option {name}\n{USAGE}")
    if not option.value:
        if value is not None:
            raise UsageError(f"option {name} takes no value, but got '{value}'")
        setattr(arguments, option.key, True)
        return
    if value is None:
        if not words:
            raise UsageError(f"option {name} needs a value: {name} {option.value}")
        value = words.pop(0)
    if not value:
        raise UsageError(f"option {name} needs a value that is not empty: {name} {option.value}")
    setattr(arguments, option.key, value)


def _check(arguments: Arguments) -> None:
    if not arguments.target:
        raise UsageError(f"no container given: name it by id, unique prefix, name or pid\n{USAGE}")
    modes = [name for name in ("mount", "unmount", "exec") if getattr(arguments, name)]
    if len(modes) > 1:
        raise UsageError(f"--{modes[0]} and --{modes[1]} exclude each other")
    if arguments.profile not in PROFILES:
        raise UsageError(f"unknown profile '{arguments.profile}': it is one of {', '.join(PROFILES)}")
    for name in arguments.namespaces:
        if name not in NAMESPACES:
            raise UsageError(f"unknown namespace '{name}': it is one of {', '.join(NAMESPACES)}")
    if arguments.only and arguments.net_only:
        raise UsageError("--only and --net-only exclude each other")
    if arguments.image and arguments.dir:
        raise UsageError("--image and --dir exclude each other")
    if arguments.force and not arguments.unmount:
        raise UsageError("--force goes with -u only")
    if arguments.command and (arguments.mount or arguments.unmount):
        raise UsageError(f"-{'m' if arguments.mount else 'u'} takes no command, but got '{arguments.command[0]}'")
    if modes and (arguments.only or arguments.net_only):
        raise UsageError(f"--{modes[0]} and a choice of namespaces exclude each other")
    if modes and arguments.user:
        raise UsageError(f"--{modes[0]} and --user exclude each other")
    user(arguments.user)


def user(text: str | None) -> tuple[int, int] | None:
    """(uid, gid) of ``UID[:GID]``; the gid is the uid's number when left out. UsageError for anything but numbers."""
    if text is None:
        return None
    parts = text.split(":")
    good = len(parts) <= 2 and all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts)
    if not good or any(int(part) > 2**32 - 2 for part in parts):
        raise UsageError(f"user '{text}' is not UID[:GID] in numbers from 0 to {2**32 - 2}")
    return int(parts[0]), int(parts[-1])
