"""`railcar ps`: the processes of a container, as the host's ps shows them or as a JSON list of host pids."""

import os
import sys

from ocicommon.printable import printable

from railcar import documents, state
from railcar.cli.list import table
from railcar.cli.parse import Arguments, Globals
from railcar.cli.pause import group_of
from railcar.errors import RailcarError, UsageError


def select(text: str, pids: "set[int]") -> str:
    """The header of ps's output and the lines of these processes. Raises RailcarError when there is no PID column."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise RailcarError("ps printed no PID column: give it options that show one, like -o pid,comm")
    column = titles.index("PID")
    chosen = [lines[0]]
    for line in lines[1:]:
        words = line.split()
        if len(words) > column and words[column].isdigit() and int(words[column]) in pids:
            chosen.append(line)
    return "\n".join(chosen) + "\n"


def host_ps(options: list[str]) -> "str | None":
    """The output of the host's ps with these options, or None where there is no such program."""
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    path = os.environ.get("PATH") or "/usr/bin:/bin"
    for directory in path.split(":"):
        try:
            pid = os.posix_spawn(
                f"{directory}/ps", ["ps", *options], {"PATH": path, "LC_ALL": "C"}, file_actions=actions
            )
            break
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
    else:
        os.close(reading)
        os.close(writing)
        return None
    os.close(writing)
    parts = []
    while part := os.read(reading, 65536):
        parts.append(part)
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise RailcarError(f"ps {' '.join(options)} failed with exit code {code}")
    return b"".join(parts).decode("utf-8", "replace")


def own_ps(pids: list[int]) -> str:
    """A table from /proc, for hosts without ps."""
    rows: list[tuple[str, ...]] = [("UID", "PID", "PPID", "CMD")]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                fields = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
            with open(f"/proc/{pid}/cmdline", "rb") as raw:
                words = raw.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        rows.append((fields["Uid"].split()[0], str(pid), fields["PPid"], words or f"[{fields['Name']}]"))
    return table(rows)


def run(options: Globals, arguments: Arguments) -> int:
    """Print nothing but the answer: engines read both streams as one."""
    form = arguments.text("format")
    if form not in ("table", "json"):
        raise UsageError(f'ps: --format is "{form}": it can be table or json')
    record = state.find(options.root, arguments.positional[0])
    pids = [] if record.status() == "stopped" else group_of(record).pids()
    if form == "json":
        sys.stdout.write(documents.compact(pids) + "\n")
        return 0
    text = host_ps(arguments.positional[1:] or ["-ef"])
    sys.stdout.write(printable(own_ps(pids) if text is None else select(text, set(pids))))
    return 0
