"""linux.intelRdt: a container's closure of Intel's Resource Director Technology, as a directory of resctrl
(resctrl(7)).

Deciding is pure: :func:`plan` gives the directory and the writes; :func:`create`, :func:`update` and :func:`remove`
do it.
"""

import os

from railcar.errors import RailcarError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.state import Record

ROOT = "/sys/fs/resctrl"


class Plan:
    """``directory`` of the closure; ``lines`` for its schemata; ``own``: it is the container's, and goes with it;
    ``monitor``: a monitoring group of the container's id in it."""

    __slots__ = ("directory", "lines", "monitor", "must_exist", "own")

    def __init__(self, directory: str, lines: list[str], own: bool, must_exist: bool, monitor: str) -> None:
        self.directory = directory
        self.lines = lines
        self.own = own
        self.must_exist = must_exist
        self.monitor = monitor

    def record(self) -> "dict[str, Any]":
        """What :func:`remove` takes, as JSON types."""
        return {"directory": self.directory, "own": self.own, "monitor": self.monitor}


def plan(given: "dict[str, Any]", container_id: str, root: str = ROOT) -> "Plan | None":
    """The plan for a linux.intelRdt object; None when it is empty.

    closID names the closure, which then may be shared and outlives the container; without it the container has its
    own. A closID alone must exist already. ``schemata`` are lines as they stand; l3CacheSchema and memBwSchema are
    the older fields.
    """
    if not given:
        return None
    name = given.get("closID")
    usable = isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\n" not in name
    if name is not None and not usable:
        raise RailcarError(f"linux.intelRdt.closID is {name!r}: it must be the name of a directory in {root}")
    lines: list[str] = []
    for key, prefixes in (("l3CacheSchema", ("L3:", "L3CODE:", "L3DATA:")), ("memBwSchema", ("MB:",))):
        text = given.get(key)
        if text is None or text == "":
            continue
        if not isinstance(text, str):
            raise RailcarError(f"linux.intelRdt.{key} is {text!r}: it must be a string")
        for line in text.split("\n"):
            if key == "l3CacheSchema" and line.startswith("MB:"):
                # The memory bandwidth has a field of its own, which wins.
                continue
            if line and not line.startswith(prefixes):
                known = " or ".join(prefixes)
                raise RailcarError(f"linux.intelRdt.{key} has the line {line!r}: it must begin with {known}")
            if line:
                lines.append(line)
    schemata = given.get("schemata") or []
    if not isinstance(schemata, list) or not all(isinstance(line, str) and "\n" not in line for line in schemata):
        raise RailcarError(f"linux.intelRdt.schemata is {schemata!r}: it must be a list of lines")
    lines += schemata
    monitoring = given.get("enableMonitoring")
    if monitoring not in (None, True, False):
        raise RailcarError(f"linux.intelRdt.enableMonitoring is {monitoring!r}: it must be true or false")
    directory = f"{root}/{name or container_id}"
    monitor = f"{directory}/mon_groups/{container_id}" if monitoring else ""
    return Plan(directory, lines, name is None, name is not None and not lines, monitor)


def place(given: "dict[str, Any]", record: "Record", pid: int) -> None:
    """Plan and make a container's closure, and remember it in the record."""
    wanted = plan(given, record.container_id)
    if wanted is not None:
        create(wanted, pid)
        record.data["rdt"] = wanted.record()


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> list[str]:
    with open(path, encoding="ascii", errors="replace") as file:
        return [line.strip() for line in file.read().splitlines()]


def create(plan: Plan, pid: int) -> None:
    """Make the closure, write its lines, and put the first process in. Raises RailcarError; what it made is removed."""
    root = plan.directory.rpartition("/")[0]
    if not os.path.exists(root + "/schemata"):
        raise RailcarError(
            f"linux.intelRdt needs resctrl on {root}, which is not mounted: the CPU must have RDT, and "
            f"`mount -t resctrl resctrl {root}` makes it usable"
        )
    made = []
    step = plan.directory
    try:
        if not os.path.isdir(plan.directory):
            if plan.must_exist:
                raise RailcarError(f"linux.intelRdt.closID: {plan.directory} does not exist, and no schemata are given")
            os.mkdir(plan.directory, 0o755)
            made.append(plan.directory)
        elif plan.lines and not plan.own:
            present = _read(plan.directory + "/schemata")
            different = [line for line in plan.lines if line not in present]
            if different:
                raise RailcarError(
                    f"linux.intelRdt.closID: {plan.directory} exists with other schemata than {different[0]!r}: "
                    f"{', '.join(present)}"
                )
        if plan.own or made:
            for line in plan.lines:
                step = f"{line!r} to {plan.directory}/schemata"
                _write(plan.directory + "/schemata", line + "\n")
        if plan.monitor and not os.path.isdir(plan.monitor):
            step = plan.monitor
            os.mkdir(plan.monitor, 0o755)
            made.append(plan.monitor)
        step = f"process {pid} to {plan.directory}/tasks"
        _write(plan.directory + "/tasks", f"{pid}\n")
        if plan.monitor:
            _write(plan.monitor + "/tasks", f"{pid}\n")
    except (OSError, RailcarError) as error:
        for path in reversed(made):
            _remove(path)
        if isinstance(error, RailcarError):
            raise
        raise RailcarError(f"linux.intelRdt: {step}: {errno_text(error.errno or 0)}") from None


def _remove(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        return


def remove(record: "dict[str, Any]") -> None:
    """Remove what :func:`create` made: the monitoring group, and the closure if it is the container's own."""
    if record.get("monitor"):
        _remove(record["monitor"])
    if record.get("own"):
        _remove(record["directory"])


def update(record: "Record", schemas: "dict[str, Any]") -> None:
    """Write new l3CacheSchema and memBwSchema lines for a container in being."""
    kept = record.data.get("rdt")
    if not kept:
        raise RailcarError(f'container "{record.container_id}" was made without linux.intelRdt: no schema can be set')
    changed = plan(schemas, record.container_id, kept["directory"].rpartition("/")[0])
    for line in changed.lines if changed else []:
        try:
            _write(kept["directory"] + "/schemata", line + "\n")
        except OSError as error:
            raise RailcarError(
                f"linux.intelRdt: {line!r} to {kept['directory']}/schemata: {errno_text(error.errno or 0)}"
            ) from None
