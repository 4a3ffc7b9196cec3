"""`railcar list`: the containers under --root."""

import os
import sys

from railcar import documents, state
from railcar.cli.parse import Arguments, Globals
from railcar.errors import UsageError

COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def table(rows: "list[tuple[str, ...]]") -> str:
    """Rows as text in columns, each as wide as its widest cell and at least twelve, three spaces apart."""
    widths = [max(12, *(len(row[column]) + 3 for row in rows)) for column in range(len(rows[0]))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def owner(directory: str) -> str:
    """The user whose state directory it is, by name or else by number; empty when it went away meanwhile."""
    import pwd

    try:
        uid = os.stat(directory).st_uid
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
    except OSError:
        return ""


def run(options: Globals, arguments: Arguments) -> int:
    """Print a table, ids (--quiet), or runc's JSON on one line: null when there is no container."""
    form = arguments.text("format")
    if form not in ("table", "json"):
        raise UsageError(f'list: --format is "{form}": it can be table or json')
    records = state.all(options.root)
    if arguments.flag("quiet"):
        sys.stdout.write("".join(record.container_id + "\n" for record in records))
        return 0
    entries = [{**record.public(record.status()), "owner": owner(record.directory)} for record in records]
    if form == "json":
        sys.stdout.write((documents.compact(entries) if entries else "null") + "\n")
        return 0
    rows: list[tuple[str, ...]] = [COLUMNS]
    for entry in entries:
        values = [entry.get(name.lower()) for name in COLUMNS]
        rows.append(tuple("" if value is None else str(value) for value in values))
    sys.stdout.write(table(rows))
    return 0
