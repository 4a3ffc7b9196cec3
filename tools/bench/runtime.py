"""railcar beside runc and crun: every command of a container's life, interleaved in one run, as ratios of medians.

    nox -s bench -- runtime [--quick] [--rounds N] [--json FILE] [--config minimal|docker] [--pace spaced|tight] [--v2]

Needs root and busybox-static. The peers are the newest of Debian's unstable suite, or the system's (--installed). Runs
in a private mount namespace without the hybrid v2 mount, since crun refuses a hybrid machine, or with v2 alone; all
three run there.
"""

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundles
import peers
from measuring import Failed, Figures, peak, table, timed

COMMANDS = ("run", "create", "state", "start", "exec", "kill", "delete", "life")
PAUSE = 0.12


class Round:
    """One runtime's turn: its figures by command, and what a waiting container weighs."""

    def __init__(self, name: str, program: str, place: Path, pause: float) -> None:
        self.name, self.program, self.place, self.pause = name, program, place, pause
        self.figures: dict[str, Figures] = {}
        self.peaks: dict[str, int] = {}
        self.warming = True  # the first round fills caches, and is where the peaks of memory are taken
        self.pss_kib = 0
        self.charges_kib: list[int] = []

    def call(self, *words: str, as_: str = "") -> None:
        time.sleep(self.pause)
        argv = [self.program, "--root", str(self.place / f"state-{self.name}"), *words]
        if self.warming:
            self.peaks[as_ or words[0]] = peak(argv)
        else:
            self.figures.setdefault(as_ or words[0], Figures()).add(timed(argv))

    def pid(self, container: str) -> int:
        argv = [self.program, "--root", str(self.place / f"state-{self.name}"), "state", container]
        return int(json.loads(subprocess.check_output(argv))["pid"])

    def wait(self, pid: int) -> None:
        """Wait until a container's first process is a zombie or gone: it is nobody's child here."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(30_000)
        finally:
            os.close(descriptor)

    def turn(self, number: int, short: Path, long: Path) -> None:
        container = f"bench-{self.name}-{number}"
        for bundle in (short, long):
            bundles.clear_devices(bundle)
        self.call("run", "--bundle", str(short), container)
        self.call("create", "--bundle", str(long), container)
        pid = self.pid(container)
        self.weigh(pid)
        self.call("state", container)
        self.call("start", container)
        self.call("exec", container, "/bin/true")
        self.call("kill", container, "KILL")
        self.wait(pid)
        self.call("delete", container)
        self.life(container, short)

    def life(self, container: str, bundle: Path) -> None:
        """create, start, the end of a short program, delete: one figure, without the question for the pid."""
        bundles.clear_devices(bundle)
        time.sleep(self.pause)
        program = [self.program, "--root", str(self.place / f"state-{self.name}")]
        parts = [timed([*program, "create", "--bundle", str(bundle), container])]
        pid = self.pid(container)
        begin = time.perf_counter_ns()
        parts.append(timed([*program, "start", container]))
        self.wait(pid)
        parts.append(timed([*program, "delete", container]))
        wall = parts[0].wall[0] + (time.perf_counter_ns() - begin) / 1e6
        cpu, rss = sum(part.cpu[0] for part in parts), max(part.rss[0] for part in parts)
        self.figures.setdefault("life", Figures()).add(Figures([wall], [cpu], [rss]))

    def weigh(self, pid: int) -> None:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        self.pss_kib = max(self.pss_kib, int(rollup.split("Pss:")[1].split()[0]))
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            usage = Path(f"/sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes")
            if controllers == "memory" and usage.exists():
                self.charges_kib.append(int(usage.read_text()) // 1024)


def measure(config: str, pace: str, rounds: int, programs: dict[str, str], v2: bool) -> dict[str, Any]:
    """Measure one configuration at one pace; the rounds of the runtimes alternate, and so does who goes first."""
    with tempfile.TemporaryDirectory(prefix="bench.") as directory:
        place = Path(directory)
        paths = {}
        for length, args in (("short", ["/bin/true"]), ("long", ["/bin/sleep", "1000"])):
            (place / length).mkdir()
            made = bundles.minimal(args) if config == "minimal" else bundles.docker_like(args, place / length)
            paths[length] = bundles.make(place / length, bundles.without_controllers(made) if v2 else made)
        turns = [Round(name, program, place, PAUSE if pace == "spaced" else 0) for name, program in programs.items()]
        for number in range(rounds + 1):
            for turn in turns[number % 3 :] + turns[: number % 3]:
                try:
                    turn.turn(number, paths["short"], paths["long"])
                except Failed as error:
                    sys.exit(f"error: {error}")
            if number == 0:
                for turn in turns:
                    turn.figures.clear()
                    turn.peaks["life"] = max(turn.peaks[part] for part in ("create", "start", "delete"))
                    turn.warming = False
    return {
        "config": config,
        "pace": pace,
        "cgroups": "v2" if v2 else "v1",
        "commands": {
            command: {
                turn.name: turn.figures[command].summary() | {"peak_rss_kib": turn.peaks[command]} for turn in turns
            }
            for command in COMMANDS
        },
        "pss_kib": {turn.name: turn.pss_kib for turn in turns},
        "charge_kib": {turn.name: statistics.median(turn.charges_kib or [0]) for turn in turns},
    }


def show(result: dict[str, Any]) -> None:
    rows = [["ms", "railcar", "runc", "crun", "/runc", "/crun", "cpu/runc", "cpu/crun", "p25/runc", "rss/runc"]]
    for command, by in result["commands"].items():
        own, runc, crun = by["railcar"], by["runc"], by["crun"]
        rows.append(
            [command, *(f"{one['median_ms']:.1f}" for one in (own, runc, crun))]
            + [f"{own['median_ms'] / peer['median_ms']:.2f}" for peer in (runc, crun)]
            + [f"{own['cpu_ms'] / peer['cpu_ms']:.2f}" for peer in (runc, crun)]
            + [f"{own['p25_ms'] / runc['p25_ms']:.2f}", f"{own['peak_rss_kib'] / max(runc['peak_rss_kib'], 1):.2f}"]
        )
    print(f"\n{result['config']}, {result['pace']}, cgroup {result['cgroups']}\n{table(rows)}")
    print(
        f"waiting for start, PSS KiB: {result['pss_kib']}; charged to the cgroup, KiB, median: {result['charge_kib']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 rounds, spaced only")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--config", choices=("minimal", "docker"), action="append")
    parser.add_argument("--pace", choices=("spaced", "tight"), action="append")
    parser.add_argument(
        "--v2", action="store_true", help="cgroup v2 alone; no limits, where its controllers belong to v1"
    )
    peers.add_options(parser)
    options = parser.parse_args()
    programs = peers.chosen(options)
    peers.enter_private_mounts(v2=options.v2)
    rounds = 8 if options.quick else options.rounds
    paces = options.pace or (["spaced"] if options.quick else ["spaced", "tight"])
    configs = options.config or ["docker", "minimal"]
    results = [measure(config, pace, rounds, programs, options.v2) for config in configs for pace in paces]
    print(", ".join(f"{name} {version}" for name, version in peers.versions(programs).items()))
    for result in results:
        show(result)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
