"""Many containers at once: the memory that 200 waiting ones hold, and how many runs a second 1, 2 or 4 starters reach.

    nox -s bench -- density [--containers N] [--json FILE] [--installed]

Needs root and busybox-static. Each runtime has its turn, after a pause for the kernel to free what it frees late;
the memory of the machine means something only when nothing else runs.
"""

import argparse
import concurrent.futures
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundles
import peers
from measuring import table

STARTERS = (1, 2, 4)
SETTLING = 2.0


def available() -> int:
    """MemAvailable in KiB."""
    text = Path("/proc/meminfo").read_text()
    return int(text.split("MemAvailable:")[1].split()[0])


def quiet(argv: list[str]) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def pss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])


def crowd(program: list[str], bundle: Path, count: int, prefix: str) -> dict[str, float]:
    """Create ``count`` containers, weigh them while they wait for start, and remove them. KiB each."""
    time.sleep(SETTLING)
    before = available()
    names = [f"{prefix}-{number}" for number in range(count)]
    try:
        for name in names:
            quiet([*program, "create", "--bundle", str(bundle), name])
        time.sleep(SETTLING)
        taken = before - available()
        pids = [int(json.loads(subprocess.check_output([*program, "state", name]))["pid"]) for name in names]
        private = sum(pss(pid) for pid in pids)
    finally:
        for name in names:
            quiet([*program, "delete", "--force", name])
    return {"taken_kib": round(taken / count, 1), "pss_kib": round(private / count, 1)}


def throughput(program: list[str], bundle: Path, starters: int, count: int, prefix: str) -> float:
    """Containers per second, each made, run and removed by `run`, ``starters`` at a time."""

    def one(number: int) -> None:
        quiet([*program, "run", "--bundle", str(bundle), f"{prefix}-{starters}-{number}"])

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(starters) as pool:
        list(pool.map(one, range(count)))
    return round(count / (time.perf_counter() - begin), 1)


def measure(programs: dict[str, str], count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench.") as directory:
        place = Path(directory)
        made = {}
        for length, args in (("short", ["/bin/true"]), ("long", ["/bin/sleep", "1000"])):
            (place / length).mkdir()
            made[length] = bundles.make(place / length, bundles.docker_like(args, place / length))
        result: dict[str, Any] = {}
        for name, path in programs.items():
            program = [path, "--root", str(place / f"state-{name}")]
            quiet([*program, "run", "--bundle", str(made["short"]), f"warm-{name}"])
            result[name] = crowd(program, made["long"], count, name)
        for starters in STARTERS:
            for name, path in programs.items():
                program = [path, "--root", str(place / f"state-{name}")]
                rate = throughput(program, made["short"], starters, max(count // 2, starters), name)
                result[name][f"per_second_{starters}"] = rate
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=200)
    parser.add_argument("--json", type=Path)
    peers.add_options(parser)
    options = parser.parse_args()
    programs = peers.chosen(options)
    peers.enter_private_mounts()
    result = measure(programs, options.containers)
    labels = {
        "taken_kib": "memory of the machine, KiB each",
        "pss_kib": "PSS while waiting for start, KiB each",
        **{f"per_second_{starters}": f"runs per second, {starters} at a time" for starters in STARTERS},
    }
    rows = [[f"{options.containers} containers", *programs]]
    rows += [[label, *(f"{result[name][key]:.1f}" for name in programs)] for key, label in labels.items()]
    print(table(rows))
    print(", ".join(f"{name} {version}" for name, version in peers.versions(programs).items()))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
