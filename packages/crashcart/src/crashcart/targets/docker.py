"""Docker's containers, asked from the daemon itself: the default socket, rootless ones, and those of contexts."""

from __future__ import annotations

import os

from crashcart import report
from crashcart.errors import CrashcartError
from crashcart.targets import http, places, records
from crashcart.targets.container import Container, matches
from crashcart.targets.times import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENGINE = "docker"
_CONFIGS = (
    "/run/containerd/io.containerd.runtime.v2.task/moby",
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby",
)


def sockets(environ: dict[str, str], home: str) -> list[str]:
    """The sockets to ask, most meant first. A daemon on another machine has no process here to enter."""
    host = environ.get("DOCKER_HOST", "")
    if host:
        if host.startswith("unix://"):
            return [host.removeprefix("unix://")]
        report.note(f"DOCKER_HOST={host} is not on this machine: docker is not asked")
        return []
    found = contexts(os.path.join(environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"), "contexts", "meta"))
    found += ["/run/docker.sock"]
    found += [os.path.join(directory, "docker.sock") for directory in places.runtime_directories(environ)]
    return list(dict.fromkeys(os.path.realpath(path) for path in found if os.path.exists(path)))


def contexts(directory: str) -> list[str]:
    """The Unix sockets of docker's stored contexts."""
    found = []
    for path in places.children(directory):
        try:
            host = records.read(os.path.join(path, "meta.json"))["Endpoints"]["docker"]["Host"]
        except (OSError, *records.MISSHAPEN):
            continue
        if isinstance(host, str) and host.startswith("unix://"):
            found.append(host.removeprefix("unix://"))
    return found


def find(text: str, _extra: str | None = None) -> list[Container]:
    """The running containers that ``text`` may mean (all when it is empty), of every daemon that answers."""
    found: list[Container] = []
    for path in sockets(dict(os.environ), os.path.expanduser("~")):
        try:
            found += _ask(path, text)
        except OSError as error:
            report.note(f"docker at {path} does not answer: {error.strerror or error}")
    return found


def _ask(path: str, text: str) -> list[Container]:
    if text:
        status, body = http.get(path, f"/containers/{http.quote(text)}/json")
        if status == 200:
            return _running(path, body)
        if b"multiple IDs" not in body:
            return []
    status, body = http.get(path, "/containers/json")
    if status != 200:
        raise CrashcartError(f"docker at {path} refuses to list its containers: HTTP status {status}")
    found = []
    for one in records.parse(body):
        if any(matches(text, one["Id"], name.removeprefix("/")) for name in one["Names"] or [""]):
            status, body = http.get(path, f"/containers/{one['Id']}/json")
            found += _running(path, body) if status == 200 else []
    return found


def _running(path: str, body: bytes) -> list[Container]:
    container = understand(records.parse(body), path)
    return [container] if container.pid else []


def understand(inspected: dict[str, Any], place: str) -> Container:
    """A container from docker's answer to an inspection; pid 0 when it does not run."""
    state = inspected["State"]
    id = inspected["Id"]
    configs = [f"{directory}/{id}/config.json" for directory in _CONFIGS]
    return Container(
        ENGINE,
        id,
        int(state.get("Pid") or 0),
        name=inspected.get("Name", "").removeprefix("/"),
        image=inspected.get("Config", {}).get("Image", ""),
        status="paused" if state.get("Paused") else "running",
        created=seconds(inspected.get("Created", "")),
        config=next((config for config in configs if os.path.exists(config)), ""),
        place=place,
    )
