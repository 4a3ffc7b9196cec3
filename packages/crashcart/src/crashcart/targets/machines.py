"""systemd-nspawn's machines and lxc's containers, by what systemd-machined and the kernel say of them."""

from __future__ import annotations

import os

from crashcart import procfs
from crashcart.targets import places
from crashcart.targets.container import Container, matches

_MACHINES = "/run/systemd/machines"
# How lxc names the cgroup of a container's payload, newest first.
_PAYLOADS = ("/lxc.payload.", "/lxc.payload/", "/lxc/")


def find(text: str, _extra: str | None = None) -> list[Container]:
    """The machines and lxc containers that ``text`` may mean; all when it is empty."""
    return nspawn(text) + lxc(text)


def nspawn(text: str) -> list[Container]:
    """systemd-nspawn's containers."""
    found = []
    for path in places.children(_MACHINES):
        try:
            machine = understand_machine(procfs.read(path).decode("utf-8", "replace"))
        except (OSError, ValueError):
            continue
        if machine is not None and matches(text, machine.id):
            found.append(machine)
    return found


def understand_machine(text: str) -> Container | None:
    """A container from systemd-machined's file; None for a virtual machine. ValueError for a broken file."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if fields.get("CLASS") != "container" or "NAME" not in fields or "LEADER" not in fields:
        return None
    microseconds = fields.get("REALTIME", "0")
    return Container("nspawn", fields["NAME"], int(fields["LEADER"]), created=int(microseconds) / 1e6, place=_MACHINES)


def lxc(text: str) -> list[Container]:
    """lxc's and lxd's containers: those processes that are the first of a pid namespace in one of lxc's cgroups."""
    if not any(os.path.isdir(path) for path in ("/var/lib/lxc", "/var/lib/lxd", "/var/snap/lxd", "/var/lib/incus")):
        return []
    found: dict[str, Container] = {}
    for pid in sorted(procfs.pids()):
        try:
            name = payload(procfs.cgroups(procfs.read(f"/proc/{pid}/cgroup")))
            if not name or name in found or not matches(text, name):
                continue
            status = procfs.read(f"/proc/{pid}/status")
        except OSError:
            continue
        if is_first(status):
            found[name] = Container("lxc", name, pid)
    return list(found.values())


def payload(cgroups: dict[str, str]) -> str:
    """The name of the lxc container that a process with these cgroups belongs to; empty for none."""
    for path in cgroups.values():
        for mark in _PAYLOADS:
            _, found, rest = path.partition(mark)
            if found:
                return rest.split("/")[0]
    return ""


def is_first(status: bytes) -> bool:
    """Whether /proc/PID/status is of the first process of a pid namespace below ours."""
    for line in status.splitlines():
        if line.startswith(b"NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == b"1"
    return False
