"""Control groups: find the layout, plan a container's group, make it, limit it, watch it, and remove it.

``layout.find()`` -> ``plan(layout, id, path, resources)`` -> ``create.create(plan)`` -> ``Group``; later
``from_record`` gives the Group back. Planning is pure; all effects are in ``create``, ``group``, ``driver``, ``update``
and ``systemd``.
"""

from railcar.cgroups import layout
from railcar.cgroups.plan import Plan, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group

__all__ = ["Plan", "from_record", "layout", "plan"]


def from_record(record: "dict[str, Any]") -> "Group":
    """The group that ``Group.record()`` (or ``Plan.record()``) described; it may be partly or wholly gone."""
    from railcar.cgroups.group import Group

    return Group.from_record(record)
