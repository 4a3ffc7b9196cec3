"""Watching a guest by what it writes: decided from texts and times alone."""

import base64
import binascii
from typing import NamedTuple


class Deadlines(NamedTuple):
    """Seconds: from power-on until the guest says that its job begins; of the job, which the guest itself keeps; and
    how much longer than that the machine is waited for."""

    boot: float = 240.0
    job: float = 600.0
    grace: float = 60.0


class Report:
    """What the guest's report port said so far. One line each: `begin`, `file NAME BASE64`, `end CODE`."""

    def __init__(self) -> None:
        self.begun = False
        self.code: int | None = None
        self.files: dict[str, bytes] = {}
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in what was written since."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("ascii", "replace").strip())

    def _line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "begin":
            self.begun = True
        elif word == "file":
            name, _, packed = rest.partition(" ")
            try:
                self.files[name] = base64.b64decode(packed, validate=True)
            except binascii.Error:
                return
        elif word == "end" and rest.removeprefix("-").isdigit():
            self.code = int(rest)


def verdict(report: Report, deadlines: Deadlines, now: float, begun_at: float | None, alive: bool) -> str:
    """What to do, `now` seconds after power-on: `wait`, `done`, or the reason to stop: `stalled`, `hung`, `died`."""
    if report.code is not None:
        return "done"
    if not alive:
        return "died" if report.begun else "stalled"
    if begun_at is None:
        return "wait" if now < deadlines.boot else "stalled"
    return "wait" if now < begun_at + deadlines.job + deadlines.grace else "hung"
