"""All that a session needs to know, gathered on the host before anything of the container is touched."""

from __future__ import annotations

from crashcart.entry import Entry
from crashcart.image import Tools
from crashcart.profile import Privileges


class Streams:
    """How the command's standard streams reach us: a terminal made inside, or a pipe for each."""

    __slots__ = ("columns", "rows", "terminal")

    def __init__(self, terminal: bool, rows: int = 24, columns: int = 80) -> None:
        self.terminal = terminal
        self.rows = rows
        self.columns = columns


class Plan:
    """``command`` as the user gave it (empty for the image's shell), the rest decided."""

    __slots__ = ("cgroups", "command", "entry", "environment", "guarded", "privileges", "streams", "tools")

    def __init__(
        self,
        entry: Entry,
        tools: Tools,
        privileges: Privileges,
        environment: dict[bytes, bytes],
        command: list[bytes],
        streams: Streams,
    ) -> None:
        self.entry = entry
        self.tools = tools
        self.privileges = privileges
        self.environment = environment
        self.command = command
        self.streams = streams
        self.cgroups: list[int] = []
        #: Whether processes of the container may trace ours (guarded.py).
        self.guarded = False
