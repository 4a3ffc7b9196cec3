"""The library beside commands: a container created and started by a long-lived program, interleaved.

    nox -s bench -- library [--rounds N] [--config minimal|docker] [--installed]

`import railcar` is timed against `create` and `start` of railcar, runc and crun as commands of the same program, and a
program run in the container against `exec`. Needs root and busybox-static. Runs in a private mount namespace without
the hybrid v2 mount, since crun refuses a hybrid machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundles
import peers
import railcar
from measuring import table

PAUSE = 0.12
SLEEP = ["/bin/sleep", "1000"]
LIMIT_MS = 8.0


class Library:
    """Containers by `import railcar`."""

    def __init__(self, place: Path, bundle: Path) -> None:
        self.place, self.bundle = place, bundle
        self.container: railcar.Container | None = None

    def create(self) -> None:
        null = subprocess.DEVNULL
        self.container = railcar.Container.create(self.bundle, root=self.place, stdout=null, stderr=null)

    def start(self) -> None:
        assert self.container is not None
        self.container.start()

    def exec(self) -> None:
        assert self.container is not None
        if self.container.exec(["/bin/true"], capture=False).returncode:
            sys.exit("error: a program that cannot fail has failed in the container")

    def delete(self) -> None:
        assert self.container is not None
        self.container.delete(force=True)


class Command:
    """Containers by a runtime's command."""

    def __init__(self, program: str, place: Path, bundle: Path) -> None:
        self.start_of_argv, self.bundle = [program, "--root", str(place)], bundle

    def _run(self, *words: str) -> None:
        null = subprocess.DEVNULL
        # What a created container holds open must be no pipe.
        subprocess.run([*self.start_of_argv, *words], stdin=null, stdout=null, check=True)

    def create(self) -> None:
        self._run("create", "--bundle", str(self.bundle), "bench-library")

    def start(self) -> None:
        self._run("start", "bench-library")

    def exec(self) -> None:
        self._run("exec", "bench-library", "/bin/true")

    def delete(self) -> None:
        self._run("delete", "--force", "bench-library")


def timed(act: Callable[[], None]) -> float:
    """Milliseconds that it takes, after a pause as in real use."""
    time.sleep(PAUSE)
    begin = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - begin) / 1e6


def turn(one: Library | Command, bundle: Path) -> dict[str, float]:
    """Milliseconds of each step of one container's life."""
    bundles.clear_devices(bundle)
    found = {"create": timed(one.create)}
    begin = time.perf_counter_ns()
    one.start()
    found["start"] = (time.perf_counter_ns() - begin) / 1e6
    found["create and start"] = found["create"] + found["start"]
    found["exec"] = timed(one.exec)
    found["delete"] = timed(one.delete)
    return found


def main() -> int:
    """Measure and print; 1 where the library takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--config", choices=("minimal", "docker"), default="docker")
    peers.add_options(parser)
    options = parser.parse_args()
    peers.enter_private_mounts()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        config = bundles.minimal(SLEEP) if options.config == "minimal" else bundles.docker_like(SLEEP, place)
        bundle = bundles.make(place, config)
        ways: dict[str, Library | Command] = {"import railcar": Library(place / "library", bundle)}
        for runtime, program in peers.chosen(options).items():
            ways[runtime] = Command(program, place / runtime, bundle)
        figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for number in range(options.rounds + 1):
            for way, one in ways.items():
                found = turn(one, bundle)
                if number:  # the first round fills caches, and starts the helper
                    figures[way].append(found)
        railcar.shutdown()
    steps = list(figures["import railcar"][0])
    rows: list[tuple[str, ...]] = [("median (quarter), ms", *steps)]
    for way, all_ in figures.items():
        cells = []
        for step in steps:
            ordered = sorted(found[step] for found in all_)
            cells.append(f"{ordered[len(ordered) // 2]:.1f} ({ordered[len(ordered) // 4]:.1f})")
        rows.append((way, *cells))
    print(table(rows))
    both = sorted(found["create and start"] for found in figures["import railcar"])
    print(f"the goal: at most {LIMIT_MS:.0f} ms to create and start; the least here is {both[0]:.1f}")
    return 0 if both[len(both) // 2] <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
