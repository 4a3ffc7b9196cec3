"""Containers in the state directories of the runtimes themselves: runc, crun, youki, railcar."""

from __future__ import annotations

import os

from crashcart import procfs
from crashcart.targets import places, records
from crashcart.targets.container import Container, matches
from crashcart.targets.times import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Runtime: the directories that hold one directory for each container. The first is for the runtime used by itself.
DIRECTORIES = {
    "railcar": ("/run/railcar", "$RUNTIME/railcar"),
    "runc": ("/run/runc", "$RUNTIME/runc", "/run/docker/runtime-runc/*", "/run/containerd/runc/*"),
    "crun": ("/run/crun", "$RUNTIME/crun"),
    "youki": ("/run/youki", "$RUNTIME/youki"),
}
# Seconds between the start of a process and what its record says of it, at most.
_CLOCKS_DIFFER = 60
_FILES = ("state.json", "status")  # crun's is called status


def find(text: str, extra: str | None = None) -> list[Container]:
    """The containers that ``text`` may mean (all when it is empty); ``extra`` is one more directory to look into."""
    found = []
    for runtime, patterns in DIRECTORIES.items():
        for directory in places.expand(patterns, dict(os.environ)):
            found += look(runtime, directory, text)
    if extra:
        for directory in (extra, *places.children(extra)):
            found += look("", directory, text)
    return found


def look(runtime: str, directory: str, text: str) -> list[Container]:
    """The containers of one state directory; ``runtime`` may be empty, to be told from the file."""
    found = []
    for path in places.children(directory):
        id = os.path.basename(path)
        if not matches(text, id):
            continue
        for name in _FILES:
            try:
                container = understand(records.read(os.path.join(path, name)), runtime, id, directory)
                if container is not None and not _is_plausible(container):
                    container = None
            except (OSError, *records.MISSHAPEN):
                continue
            if container is not None:
                found.append(container)
            break
    return found


def _is_plausible(container: Container) -> bool:
    """Whether the process of a record without a start time can be the one that is meant. OSError when it is gone."""
    if container.start_time or not container.created:
        return True
    return abs(procfs.started(container.pid) - container.created) < _CLOCKS_DIFFER


def understand(record: Any, runtime: str, id: str, place: str) -> Container | None:
    """A container from a runtime's record; None when it is no record of a container with a process."""
    if not isinstance(record, dict):
        return None
    bundle = record.get("bundle", "")
    if "init_process_pid" in record:
        told = "runc"
        pid, start = record["init_process_pid"], record.get("init_process_start", 0)
        labels = record.get("config", {}).get("labels") or []
        bundle = next((label[7:] for label in labels if label.startswith("bundle=")), "")
    elif "process-start-time" in record or "cgroup-path" in record:
        told = "crun"
        pid, start = record.get("pid"), record.get("process-start-time", 0)
    elif "start_time" in record:
        told = "railcar"
        pid, start = record.get("pid"), record["start_time"]
    elif "ociVersion" in record:
        told = "youki"
        pid, start = record.get("pid"), 0
    else:
        return None
    if not isinstance(pid, int) or pid <= 0:
        return None
    created = record.get("created", "")
    return Container(
        runtime or told,
        id,
        pid,
        created=seconds(created) if isinstance(created, str) else 0,
        start_time=start if isinstance(start, int) else 0,
        config=os.path.join(bundle, "config.json") if bundle else "",
        place=place,
    )
