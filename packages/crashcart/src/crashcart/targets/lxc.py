"""lxc's and lxd's containers, by what the kernel says of their processes: the first ones of a pid namespace in a cgroup
that lxc names so."""

from __future__ import annotations

import os

from crashcart import procfs
from crashcart.targets.container import Container, matches

ENGINE = "lxc"
_PLACES = ("/var/lib/lxc", "/var/lib/lxd", "/var/snap/lxd", "/var/lib/incus")
# How lxc names the cgroup of a container's payload, newest first.
_PAYLOADS = ("/lxc.payload.", "/lxc.payload/", "/lxc/")
_MONITOR = b"[lxc monitor] "


def find(text: str, _extra: str | None = None) -> list[Container]:
    """The containers that ``text`` may mean; all when it is empty."""
    if not any(os.path.isdir(path) for path in _PLACES):
        return []
    found: dict[str, Container] = {}
    for pid in sorted(procfs.pids()):
        try:
            name = payload(procfs.cgroups(procfs.read(f"/proc/{pid}/cgroup")))
            if not name or name in found or not matches(text, name):
                continue
            if procfs.is_first(procfs.read(f"/proc/{pid}/status")):
                place = monitored(procfs.read(f"/proc/{procfs.parent(pid)}/cmdline"), name)
                found[name] = Container(ENGINE, name, pid, created=procfs.started(pid), place=place)
        except OSError:
            continue
    return list(found.values())


def payload(cgroups: dict[str, str]) -> str:
    """The name of the lxc container that a process with these cgroups belongs to; empty for none."""
    for path in cgroups.values():
        for mark in _PAYLOADS:
            _, found, rest = path.partition(mark)
            if found:
                return rest.split("/")[0]
    return ""


def monitored(command_line: bytes, name: str) -> str:
    """The directory that lxc keeps the container in, as its monitor's command line has it; empty when it has not."""
    line = command_line.rstrip(b"\0 ")
    if not line.startswith(_MONITOR) or not line.endswith(b" " + os.fsencode(name)):
        return ""
    return os.fsdecode(line[len(_MONITOR) : -len(os.fsencode(name)) - 1])
