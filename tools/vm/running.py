"""Boots a guest with a job, passes on what it says, and takes its results."""

import subprocess
import sys
import time
from pathlib import Path

from vm import machine, watch
from vm.errors import MachineError, Unavailable
from vm.root import Root

#: Bytes of the console that are shown when a machine fails.
TAIL = 3000
PAUSE = 0.1


class Tail:
    """A file that grows."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")

    def new(self) -> bytes:
        return self._file.read()

    def close(self) -> None:
        self._file.close()


def run(
    root: Root, job: Path, place: Path, deadlines: watch.Deadlines, *, security: str, accelerator: str
) -> watch.Report:
    """Run the job of a job disk. A boot that stalls is started once more. Raises MachineError, Unavailable."""
    for attempt in (1, 2):
        directory = place / f"boot-{attempt}"
        directory.mkdir()
        ports = machine.Ports(directory / "console", directory / "output", directory / "report")
        argv = machine.command(root.kernel, root.image, job, ports, security=security, accelerator=accelerator)
        report, ended = _boot(argv, ports, directory / "qemu", deadlines)
        if ended == "done":
            return report
        said = ports.console.read_bytes()[-TAIL:].decode(errors="replace")
        wrong = (directory / "qemu").read_text(errors="replace")[-TAIL:]
        print(f"\nThe end of the guest's console:\n{said}\n{wrong}", file=sys.stderr, flush=True)
        if ended != "stalled":
            break
        print(f"The guest did not begin its job (attempt {attempt} of 2)", file=sys.stderr, flush=True)
    if ended == "stalled":
        raise Unavailable("the guest does not boot")
    raise MachineError(
        {
            "hung": f"the guest did not end its job in {deadlines.job:.0f} s, nor say why",
            "died": "the machine ended before its job did",
        }[ended]
    )


def _boot(argv: list[str], ports: machine.Ports, log: Path, deadlines: watch.Deadlines) -> tuple[watch.Report, str]:
    output, told = Tail(ports.output), Tail(ports.report)
    report = watch.Report()
    started = time.monotonic()
    begun_at: float | None = None
    with log.open("wb") as errors:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    try:
        while True:
            alive = process.poll() is None
            now = time.monotonic() - started
            report.feed(told.new())
            sys.stdout.buffer.write(output.new())
            sys.stdout.flush()
            if report.begun and begun_at is None:
                begun_at = now
                print(f"The guest was ready after {now:.0f} s", file=sys.stderr, flush=True)
            ended = watch.verdict(report, deadlines, now, begun_at, alive)
            if ended != "wait":
                return report, ended
            time.sleep(PAUSE)
    finally:
        process.kill()
        process.wait()
        output.close()
        told.close()
