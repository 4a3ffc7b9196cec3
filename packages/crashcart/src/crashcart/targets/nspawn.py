"""systemd-nspawn's containers: those that systemd-machined knows, and those that were started without it."""

from __future__ import annotations

import os

from crashcart import procfs
from crashcart.targets import places
from crashcart.targets.container import Container, matches

ENGINE = "nspawn"
_MACHINES = "/run/systemd/machines"
# systemd-nspawn makes it, whether it registers a machine or not.
_PLACE = "/run/systemd/nspawn"
_COMMAND = b"systemd-nspawn\n"
_NAMES = ("-M", "--machine")
_PATHS = ("-D", "--directory", "-i", "--image")


def find(text: str, _extra: str | None = None) -> list[Container]:
    """The containers that ``text`` may mean; all when it is empty."""
    registered = _registered()
    known = {one.pid for one in registered}
    running = [one for one in _running() if one.pid not in known] if os.path.isdir(_PLACE) else []
    return [one for one in (*registered, *running) if matches(text, one.id)]


def _registered() -> list[Container]:
    found = []
    for path in places.children(_MACHINES):
        try:
            machine = understand(procfs.read(path).decode("utf-8", "replace"))
        except (OSError, ValueError):
            continue
        if machine is not None:
            found.append(machine)
    return found


def understand(text: str) -> Container | None:
    """A container from systemd-machined's file; None for a virtual machine. ValueError for a broken file."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if fields.get("CLASS") != "container" or "NAME" not in fields or "LEADER" not in fields:
        return None
    microseconds = fields.get("REALTIME", "0")
    return Container(ENGINE, fields["NAME"], int(fields["LEADER"]), created=int(microseconds) / 1e6, place=_MACHINES)


def _running() -> list[Container]:
    found = []
    for pid in procfs.pids():
        try:
            if procfs.read(f"/proc/{pid}/comm") != _COMMAND:
                continue
            words = [os.fsdecode(word) for word in procfs.read(f"/proc/{pid}/cmdline").split(b"\0")[:-1]]
            for child in procfs.children(pid):
                if procfs.is_first(procfs.read(f"/proc/{child}/status")):
                    found.append(Container(ENGINE, named(words) or str(pid), child, created=procfs.started(child)))
        except OSError:
            continue
    return found


def named(words: list[str]) -> str:
    """The machine's name from systemd-nspawn's command line: its option, or else what it takes the root from."""
    name = _value(words, _NAMES)
    if not name:
        name = os.path.basename(os.path.normpath(_value(words, _PATHS))).removesuffix(".raw")
    return name if name != "." else ""


def _value(words: list[str], options: tuple[str, ...]) -> str:
    for at, word in enumerate(words):
        for option in options:
            if word == option and at + 1 < len(words):
                return words[at + 1]
            if option.startswith("--") and word.startswith(f"{option}="):
                return word[len(option) + 1 :]
            if not option.startswith("--") and word.startswith(option) and not word.startswith("--") and word != option:
                return word[len(option) :]
    return ""
