"""`railcar update`: change the limits of a container in being."""

import os
import sys

from railcar import documents, state
from railcar.cgroups import v2
from railcar.cgroups.update import update as change
from railcar.cli import log
from railcar.cli.parse import Arguments, Globals, whole_number
from railcar.cli.pause import group_of
from railcar.errors import ConfigError, RailcarError, UsageError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# option -> (section, key): whole numbers, texts, and sizes with a unit
NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-shares": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "pids-limit": ("pids", "limit"),
}
TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
SIZES = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
}
RDT = {"l3-cache-schema": "l3CacheSchema", "mem-bw-schema": "memBwSchema"}
UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def size(text: str, name: str) -> int:
    """Bytes of ``64M``-like text, by powers of 1024; -1 stands for no limit. Raises UsageError."""
    stem = text.lower().removesuffix("ib") if len(text) > 2 else text.lower()
    if stem == text.lower() and len(stem) > 1 and stem[-1] == "b" and not stem[-2].isdigit():
        stem = stem[:-1]
    unit = stem[-1:] if stem and not stem[-1].isdigit() else ""
    digits = stem[: len(stem) - len(unit)]
    if unit not in UNITS or not digits:
        raise UsageError(f'{name}: "{text}" is no size: it is a number of bytes, or one with k, m, g or t')
    number = whole_number(digits, name, -1)
    return number if number < 0 else number << UNITS[unit]


def from_options(arguments: Arguments) -> "dict[str, Any]":
    """The linux.resources object that the options describe."""
    resources: dict[str, Any] = {}
    for table, convert in ((NUMBERS, whole_number), (SIZES, size)):
        for option, (section, key) in table.items():
            if arguments.given(option):
                resources.setdefault(section, {})[key] = convert(arguments.text(option) or "", f"--{option}")
    for option, (section, key) in TEXTS.items():
        if arguments.given(option):
            resources.setdefault(section, {})[key] = arguments.text(option)
    return resources


def from_file(path: str) -> "dict[str, Any]":
    """The linux.resources object in a file; ``-`` is standard input."""
    try:
        text = sys.stdin.buffer.read() if path == "-" else None
        found = documents.read(path) if text is None else documents.parse(text, "standard input")
    except OSError as error:
        raise RailcarError(f"cannot read the resources in {path}: {errno_text(error.errno or 0)}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: the resources must be an object, as linux.resources in config.json is")
    return found


def merged(old: "dict[str, Any]", new: "dict[str, Any]") -> "dict[str, Any]":
    """``old`` with every value of ``new`` put in, section by section; null and 0 change nothing."""
    result = dict(old)
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value not in (None, 0, "") or key in ("idle", "burst"):
            result[key] = value
    return result


def remember(record: state.Record, resources: "dict[str, Any]") -> None:
    """Put the new limits into the kept config.json, so that inspect and later commands see them."""
    config = record.config()
    linux = config.setdefault("linux", {})
    kept = {key: value for key, value in resources.items() if key != "devices"}
    linux["resources"] = merged(linux.get("resources") or {}, kept)
    temporary = record.path(f".{state.CONFIG}.{os.getpid()}")
    state.write(temporary, documents.compact(config).encode())
    os.rename(temporary, record.path(state.CONFIG))


def run(options: Globals, arguments: Arguments) -> int:
    """Apply the limits of --resources (then other options are ignored, as runc does), or of the options."""
    container_id = arguments.positional[0]
    record = state.find(options.root, container_id)
    path = arguments.text("resources")
    resources = from_file(path) if path else from_options(arguments)
    pids = resources.get("pids")
    if isinstance(pids, dict) and not pids.get("limit"):
        resources = {key: value for key, value in resources.items() if key != "pids"}
    schemas = {key: arguments.text(option) for option, key in RDT.items() if arguments.given(option)}
    lock = state.lock(options.root, container_id)
    try:
        status = record.status()
        if status not in ("created", "running", "paused"):
            raise RailcarError(f'cannot update "{container_id}", which is {status}: container not running')
        if resources:
            group = group_of(record)
            change(group, resources)
            for warning in v2.warnings(resources) if group.mode == "v2" else []:
                log.warn(warning)
            remember(record, resources)
        if schemas:
            from railcar import rdt

            rdt.update(record, schemas)
    finally:
        os.close(lock)
    return 0
