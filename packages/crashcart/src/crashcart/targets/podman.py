"""podman's containers, root's and users', from its storage: there is no daemon to ask."""

from __future__ import annotations

import os

from crashcart.procfs import read, started
from crashcart.targets import places, records
from crashcart.targets.container import Container, matches
from crashcart.targets.times import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENGINE = "podman"
_CONFIGURATIONS = ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf")
_OWN = "containers/storage.conf"
_KEYS = ("graphroot", "runroot", "rootless_storage_path")
_CLOCKS_DIFFER = 5.0
_FILES = ("containers.json", "volatile-containers.json")


def stores(environ: dict[str, str]) -> list[tuple[str, str]]:
    """(graph root, run root) of every storage that may be ours to see."""
    graph, run = "/var/lib/containers/storage", "/run/containers/storage"
    mine = os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config"), _OWN)
    given = environ.get("CONTAINERS_STORAGE_CONF", "")
    for path in (*_CONFIGURATIONS, mine if os.geteuid() else "", given):
        try:
            configured = understand_configuration(read(path).decode("utf-8", "replace")) if path else {}
        except OSError:
            continue
        graph, run = configured.get("graphroot", graph), configured.get("runroot", run)
        if os.geteuid():
            graph = configured.get("rootless_storage_path", graph)
    found = [(graph, run)]
    if os.geteuid():  # without root, podman keeps what runs here, whatever is configured
        found += [(graph, os.path.join(one, "containers")) for one in places.runtime_directories(environ)]
    for uid, home in _users(environ):
        mine = os.path.join(home, ".local/share/containers/storage")
        runs = (
            f"/run/user/{uid}/containers",
            f"/tmp/podman-run-{uid}/containers",
            f"/tmp/containers-user-{uid}/containers",
        )
        found += [(mine, one) for one in runs if os.path.isdir(one)]
    return found


def _users(environ: dict[str, str]) -> list[tuple[int, str]]:
    if os.geteuid() != 0:
        return [(os.getuid(), environ.get("HOME", "/"))]
    directories = [*places.children("/run/user"), *places.children("/tmp")]
    numbers = {os.path.basename(path).rpartition("-")[2] for path in directories}
    import pwd

    found = []
    for number in sorted(int(number) for number in numbers if number.isdigit()):
        try:
            found.append((number, pwd.getpwuid(number).pw_dir))
        except KeyError:
            continue
    return found


def understand_configuration(text: str) -> dict[str, str]:
    """Where a storage.conf has the storage: the lines that matter, without a TOML reader's start."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() in _KEYS:
            found[key.strip()] = value.split("#")[0].strip().strip("\"'")
    return found


def find(text: str, _extra: str | None = None) -> list[Container]:
    """The running containers that ``text`` may mean; all when it is empty."""
    found = []
    for graph, run in stores(dict(os.environ)):
        for directory in (*places.children(graph), *places.children(run)):
            if not directory.endswith("-containers"):
                continue
            for name in _FILES:
                try:
                    stored = records.read(os.path.join(directory, name))
                    kind = os.path.basename(directory)
                    containers = [understand(record, os.path.join(run, kind), graph) for record in stored]
                except (OSError, *records.MISSHAPEN):
                    continue
                found += [one for one in containers if one.pid and matches(text, one.id, one.name)]
    return found


def understand(record: dict[str, Any], run: str, place: str) -> Container:
    """A container from a record of containers.json and its directory below ``run``; pid 0 when it does not run."""
    id = record["id"]
    data = os.path.join(run, id, "userdata")
    try:
        metadata = records.parse(record.get("metadata", "").encode() or b"{}")
    except ValueError:
        metadata = {}
    try:
        pid = int(read(os.path.join(data, "pidfile")))
        # A pid file outlives its process: a process that started after it was written only has the same number.
        if started(pid) > os.stat(os.path.join(data, "pidfile")).st_mtime + _CLOCKS_DIFFER:
            pid = 0
    except (OSError, ValueError):
        pid = 0
    return Container(
        ENGINE,
        id,
        pid,
        name=(record.get("names") or [metadata.get("name", "")])[0],
        image=metadata.get("image-name", ""),
        created=seconds(record.get("created", "")),
        config=os.path.join(data, "config.json"),
        place=place,
    )
