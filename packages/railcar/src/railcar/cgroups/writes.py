"""Writing limits into a group's control files, in an order that the kernel takes."""

import errno
import os

from railcar.cgroups import files
from railcar.cgroups.values import Write
from railcar.errors import RailcarError


def apply(paths: dict[str, str], writes: list[Write]) -> None:
    """Write values. Some are valid only after others (memory.limit and swap, quota and burst): those are tried
    again."""
    pending = writes
    while pending:
        refused: list[tuple[Write, str, str, OSError]] = []
        for write in pending:
            path, value = _choose(paths, write)
            try:
                files.write(path, value)
            except FileNotFoundError as error:
                if not write.optional:
                    raise files.refused(path, value, "linux.resources." + write.field, error) from None
            except OSError as error:
                if error.errno == errno.EINVAL and len(pending) > 1:
                    refused.append((write, path, value, error))
                elif not (write.optional and error.errno in (errno.EINVAL, errno.EOPNOTSUPP)):
                    raise _explain(path, value, write, error) from None
        if len(refused) == len(pending):
            refused = [entry for entry in refused if not entry[0].optional]
            if not refused:
                return
            write, path, value, first = refused[0]
            raise _explain(path, value, write, first)
        pending = [entry[0] for entry in refused]


def _choose(paths: dict[str, str], write: Write) -> tuple[str, str]:
    directory = paths[write.controller]
    for file, value in write.choices[:-1]:
        if os.access(f"{directory}/{file}", os.F_OK):
            return f"{directory}/{file}", value
    file, value = write.choices[-1]
    return f"{directory}/{file}", value


def _explain(path: str, value: str, write: Write, error: OSError) -> RailcarError:
    if error.errno == errno.EBUSY and path.endswith("/memory.limit_in_bytes"):
        directory = path.rpartition("/")[0]
        usage = files.read_or(directory + "/memory.usage_in_bytes", "?").strip()
        peak = files.read_or(directory + "/memory.max_usage_in_bytes", "?").strip()
        return RailcarError(f"unable to set memory limit to {value} (current usage: {usage}, peak usage: {peak})")
    return files.refused(path, value, "linux.resources." + write.field, error)
