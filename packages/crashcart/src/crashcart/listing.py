"""``crashcart list``: every running container that can be entered, as data and as a table."""

from __future__ import annotations

import time

from crashcart import procfs, targets
from crashcart.targets.container import Container
from crashcart.targets.times import age

_COLUMNS = ("ENGINE", "ID", "NAME", "PID", "IMAGE", "STATUS", "AGE")


def rows(root: str | None = None) -> list[Container]:
    """All running containers, each process once."""
    found = targets.everything(root)
    for one in found:
        try:
            if procfs.is_frozen(one.pid):
                one.status = "paused"
        except OSError:
            continue  # it has just ended
    return found


def as_data(containers: list[Container]) -> list[dict[str, object]]:
    """For ``--json``: ``created`` is seconds since the epoch, or null."""
    return [
        {
            "engine": one.engine,
            "namespace": one.namespace or None,
            "id": one.id,
            "name": one.name or None,
            "pid": one.pid,
            "image": one.image or None,
            "status": one.status,
            "created": one.created or None,
        }
        for one in containers
    ]


def as_table(containers: list[Container], now: float | None = None) -> str:
    """For people; the heading is there without containers too."""
    now = time.time() if now is None else now
    lines = [_COLUMNS]
    for one in containers:
        engine = f"{one.engine}/{one.namespace}" if one.namespace else one.engine
        short = one.id[:12] if len(one.id) == 64 else one.id
        old = age(now - one.created) if one.created else "-"
        lines.append((engine, short, one.name or "-", str(one.pid), one.image or "-", one.status, old))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
