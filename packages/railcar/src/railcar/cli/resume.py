"""`railcar resume`: let a paused container go on."""

import os

from railcar import state
from railcar.cli.parse import Arguments, Globals
from railcar.cli.pause import group_of
from railcar.errors import RailcarError


def run(options: Globals, arguments: Arguments) -> int:
    """Thaw a paused container."""
    container_id = arguments.positional[0]
    record = state.find(options.root, container_id)
    lock = state.lock(options.root, container_id)
    try:
        status = record.status()
        if status != "paused":
            raise RailcarError(f'cannot resume "{container_id}", which is {status}: container not paused')
        group_of(record).thaw()
    finally:
        os.close(lock)
    return 0
