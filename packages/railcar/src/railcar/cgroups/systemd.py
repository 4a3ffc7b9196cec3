"""The systemd driver: a container's group as a transient unit of the system's or the user's manager."""

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.group import Group
    from railcar.cgroups.layout import Layout
    from railcar.cgroups.plan import Plan


def manager_group(layout: "Layout", rootless: bool) -> str:
    """The group of the manager, below which its units lie: the root for the system's."""
    if not rootless or not layout.unified:
        return ""
    own = layout.unified.own
    end = own.find("/user@")
    return own[: own.find("/", end + 1)] if end >= 0 and "/" in own[end + 1 :] else own


def start(group: "Group", plan: "Plan", pid: int) -> None:
    """Make the unit with its first process."""
    raise RailcarError("the systemd driver is not available in this build: use the cgroupfs driver")


def stop(group: "Group") -> None:
    """Stop the unit."""


def change(group: "Group", resources: "dict[str, Any]") -> None:
    """Tell the manager of new limits."""
