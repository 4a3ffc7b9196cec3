"""``crashcart man``: the manual page in man(7)'s language, drawn from the declarations of options."""

from __future__ import annotations

from crashcart.declared import Command, Option

_ABOUT = (
    "crashcart side-loads an image full of debugging tools into a running container, enters the container, runs a "
    "shell or a command of that image, and leaves no trace. The container needs no shell, no package manager and no "
    "writable file, and does not see the tools.",
    "Reading of options stops at ID: what follows is the command, with or without --. A command is a tool of the image "
    "by name, or a full path; without one the image's shell is started. A container whose name is that of a subcommand "
    "is entered as ENGINE:NAME.",
)
_TARGET = (
    "A pid; or the id, a unique prefix of it, or the name of a container of docker, podman, containerd (NAMESPACE/ID "
    "picks one of its namespaces), runc, crun, youki, railcar, systemd-nspawn or lxc. ENGINE:ID asks one engine only."
)
_STATUS = (
    ("0-255", "The command's own exit code; 128+N when signal N ended it."),
    ("1", "The container could not be entered; the line on standard error says why."),
    ("2", "The command line is wrong."),
    ("126", "The command cannot be executed."),
    ("127", "There is no such command."),
)
EXAMPLES = (
    ("crashcart web", "A shell with the image's tools inside the container web."),
    ("crashcart web strace -p 1", "One of its tools."),
    ("crashcart --net-only web tcpdump -i eth0", "The container's network, with the host's files."),
    ("crashcart -m web", "Tools for the container's own processes, at /dev/crashcart, until -u."),
    ("crashcart -u web", "Take them away."),
    ("crashcart build -o crashcart.img", "An image of the default list of tools."),
    ("crashcart verify crashcart.img", "What is in it, and whether it is whole."),
)
_FILES = (
    ("crashcart.img", "The image where none is named: here, then in the directories below."),
    ("$XDG_DATA_HOME/crashcart, /usr/local/share/crashcart, /usr/share/crashcart", "Where images are looked up."),
)


def escaped(text: str) -> str:
    """Text that troff takes as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def _option(option: Option) -> str:
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in option.names)
    value = f" \\fI{escaped(option.value)}\\fR" if option.value else ""
    return f".TP\n{names}{value}\n{escaped(option.help)}\n"


def _rows(rows: tuple[tuple[str, str], ...]) -> str:
    return "".join(f".TP\n\\fB{escaped(name)}\\fR\n{escaped(text)}\n" for name, text in rows)


def page(version: str, session: tuple[Option, ...], commands: tuple[Command, ...]) -> str:
    """The whole page."""
    lines = [
        f'.TH CRASHCART 8 "" "crashcart {version}" "crashcart"\n.SH NAME\n'
        "crashcart \\- side\\-load debugging tools into a running container\n",
        ".SH SYNOPSIS\n\\fBcrashcart\\fR [OPTIONS] \\fIID\\fR [\\-\\-] [\\fICMD\\fR ...]\n",
    ]
    for command in commands:
        places = " ".join(f"\\fI{escaped(place)}\\fR" for place in command.arguments)
        lines.append(f".br\n\\fBcrashcart {escaped(command.name)}\\fR [OPTIONS] {places}\n")
    lines.append(".SH DESCRIPTION\n" + ".PP\n".join(f"{escaped(text)}\n" for text in _ABOUT))
    lines.append(f".TP\n\\fIID\\fR\n{escaped(_TARGET)}\n.SH OPTIONS\n")
    lines += [_option(option) for option in session]
    for command in commands:
        lines.append(f".SS crashcart {escaped(command.name)}\n{escaped(command.help)}\n")
        lines += [_option(option) for option in command.options]
    lines.append(".SH EXIT STATUS\n" + _rows(_STATUS) + ".SH FILES\n" + _rows(_FILES))
    lines.append(".SH EXAMPLES\n" + _rows(EXAMPLES) + ".SH SEE ALSO\nnsenter(1), strace(1), railcar(8)\n")
    return "".join(lines)
