"""`railcar pause`: freeze every process of a container."""

import os

from railcar import state
from railcar.cli.parse import Arguments, Globals
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.cgroups.group import Group


def group_of(record: state.Record) -> "Group":
    """The container's group. Raises RailcarError where it was made without one."""
    group: Group | None = record.group()
    if group is None or not group.paths:
        raise RailcarError(f'container "{record.container_id}" has no cgroup: it cannot be frozen, limited or measured')
    return group


def run(options: Globals, arguments: Arguments) -> int:
    """Freeze a created or running container; any other is refused with the words that engines look for."""
    container_id = arguments.positional[0]
    record = state.find(options.root, container_id)
    lock = state.lock(options.root, container_id)
    try:
        status = record.status()
        if status not in ("created", "running"):
            raise RailcarError(f'cannot pause "{container_id}", which is {status}: container not running')
        group_of(record).freeze()
    finally:
        os.close(lock)
    return 0
