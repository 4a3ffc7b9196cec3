"""Timing commands side by side: whole processes, interleaved, medians and ratios."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Figures:
    """What one command cost, over its rounds: wall and processor time in milliseconds, peak RSS in KiB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.wall += other.wall
        self.cpu += other.cpu
        self.rss += other.rss

    def summary(self) -> dict[str, float]:
        ordered = sorted(self.wall)
        return {
            "median_ms": round(statistics.median(ordered), 3),
            "p25_ms": round(ordered[len(ordered) // 4], 3),
            "cpu_ms": round(statistics.median(self.cpu), 3),
            "peak_rss_kib": max(self.rss),
            "rounds": len(ordered),
        }


# The kernel hands the peak of a parent on to a child that it makes by vfork, so this parent must be small: a shell.
_SMALL = ["/bin/busybox", "time", "-f", "%M"]


class Failed(Exception):
    """A measured command did not succeed: its figures would mean nothing."""


def timed(argv: Sequence[str], *, cwd: Path | None = None, expect: int = 0) -> Figures:
    """Run one command to its end and return what it cost. Its output goes to /dev/null, its errors to ours."""
    with open(os.devnull, "r+b") as null:
        begin = time.perf_counter_ns()
        process = subprocess.Popen(argv, stdin=null, stdout=null, cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        wall = (time.perf_counter_ns() - begin) / 1e6
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != expect:
        raise Failed(f"{' '.join(argv)} ended with {process.returncode}, not {expect}")
    return Figures([wall], [(usage.ru_utime + usage.ru_stime) * 1e3], [usage.ru_maxrss])


def peak(argv: Sequence[str]) -> int:
    """Run one command, and return its peak RSS in KiB (0 without busybox): apart from the timing, as a child of a small
    program, since the peak of a big parent would be counted as the command's own."""
    if not os.access(_SMALL[0], os.X_OK):
        return 0
    if not _unit:
        # Some versions take KiB for pages. /proc/self/status tells what is right.
        told, output = _told([_SMALL[0], "cat", "/proc/self/status"])
        _unit.append(max(1, round(told / int(output.split("VmHWM:")[1].split()[0]))))
    return _told(argv)[0] // _unit[0]


_unit: list[int] = []


def _told(argv: Sequence[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+") as output, tempfile.NamedTemporaryFile("r") as told:
        command = [*_SMALL, "-o", told.name, *argv]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}")
        output.seek(0)
        return int(told.read().split()[-1]), output.read()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
