"""Timing commands side by side: whole processes, interleaved, medians and ratios."""

import os
import statistics
import subprocess
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
