"""All that is known about one container, as data: its state, its figures, its mounts, its hooks and its steps."""

import os

from railcar.cgroups.stats import stats
from railcar.errors import RailcarError
from railcar.state import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def mounts(pid: int) -> "list[dict[str, str]]":
    """The mounts that a process sees: target, source, type, options. Empty when it is gone."""
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields, last = head.split(" "), tail.split(" ")
        if len(fields) < 6 or len(last) < 3:
            continue
        options = fields[5].split(",") + [option for option in last[2].split(",") if option not in fields[5].split(",")]
        found.append(
            {
                "target": _plain(fields[4]),
                "type": last[0],
                "source": _plain(last[1]),
                "root": _plain(fields[3]),
                "options": ",".join(options),
            }
        )
    return found


def _plain(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def namespaces(pid: int) -> dict[str, str]:
    """Namespace type -> its inode, as the kernel shows it."""
    found = {}
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
        try:
            found[name] = os.readlink(f"/proc/{pid}/ns/{name}")
        except OSError:
            continue
    return found


def inspect(record: Record) -> "dict[str, Any]":
    """The whole, as JSON types. Keys: state, process, cgroup, namespaces, mounts, hooks, steps."""
    status = record.status()
    result: dict[str, Any] = {"state": record.public(status)}
    group = record.group()
    alive = status in ("created", "running", "paused")
    config: dict[str, Any] = {}
    try:
        config = record.config()
    except (OSError, RailcarError):
        pass
    result["process"] = {
        "args": (config.get("process") or {}).get("args"),
        "user": (config.get("process") or {}).get("user"),
    }
    if group is not None:
        entry: dict[str, Any] = {"paths": group.paths, "limits": (config.get("linux") or {}).get("resources") or {}}
        if group.exists():
            entry["pids"] = group.pids()
            entry["figures"] = stats(group)
        result["cgroup"] = entry
    result["namespaces"] = namespaces(record.pid) if alive else {}
    result["mounts"] = mounts(record.pid) if alive else []
    result["hooks"] = record.data.get("hook_history") or []
    result["steps"] = record.data.get("steps") or []
    return result


def lines(found: "dict[str, Any]") -> list[str]:
    """The whole as text for people."""
    state = found["state"]
    text = [f"{state['id']}: {state['status']}" + (f", process {state['pid']}" if state["pid"] else "")]
    text += [f"  bundle   {state['bundle']}", f"  rootfs   {state['rootfs']}", f"  created  {state['created']}"]
    if found["process"]["args"]:
        text.append(f"  program  {' '.join(found['process']['args'])}")
    cgroup = found.get("cgroup") or {}
    if cgroup.get("figures"):
        text += _figures(cgroup)
    if cgroup.get("paths"):
        text.append("cgroup")
        text += [f"  {path}" for path in dict.fromkeys(cgroup["paths"].values())]
    if found["mounts"]:
        text.append("mounts")
        width = min(40, max(len(mount["target"]) for mount in found["mounts"]))
        text += [f"  {mount['target']:<{width}}  {mount['type']} {mount['options']}" for mount in found["mounts"]]
    if found["hooks"]:
        text.append("hooks")
        for hook in found["hooks"]:
            code = "did not run" if hook["status"] is None else f"exit {hook['status']}"
            took = f"{hook['duration'] * 1000:.1f} ms"
            text.append(f"  {hook['kind']}[{hook['index']}] {' '.join(hook['args'] or [hook['path']])}: {code}, {took}")
            text += [f"    {line}" for line in hook["output"].splitlines()[:20]]
    if found["steps"]:
        text.append("steps of its creation")
        text += [f"  {step['took_us'] / 1000:8.2f} ms  {step['step']}" for step in found["steps"]]
    return text


def _figures(cgroup: "dict[str, Any]") -> list[str]:
    figures = cgroup["figures"]
    memory = figures["memory"]["usage"]
    limit = memory.get("limit", 0)
    of = f" of {_size(limit)}" if 0 < limit < 1 << 60 else ""
    peak = f", at most {_size(memory['max'])}" if memory.get("max") else ""
    tasks = figures["pids"]
    most = f" of {tasks['limit']}" if tasks.get("limit") else ""
    return [
        f"  memory   {_size(memory.get('usage', 0))}{of}{peak}",
        f"  cpu      {figures['cpu']['usage']['total'] / 1e9:.3f} s",
        f"  tasks    {tasks.get('current', 0)}{most}",
    ]


def _size(number: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if number >= 1 << shift:
            return f"{number / (1 << shift):.1f} {unit}"
    return f"{number} B"
