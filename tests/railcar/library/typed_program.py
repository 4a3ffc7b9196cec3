"""A small program as users write it: mypy --strict has to be content with it, and it has to run."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

import railcar


def usage(container: railcar.Container) -> int:
    figures = container.stats()
    return int(figures["memory"]["usage"]["usage"])


def names(root: str) -> list[str]:
    return [one.id for one in railcar.Container.all(root)]


def first(events: Iterator[railcar.Event]) -> str:
    event: railcar.Event = next(events)
    return event.kind


def main(bundle: str, root: str) -> int:
    with railcar.Container.create(bundle, "typed", root=root, stdout=subprocess.DEVNULL) as box:
        warnings: tuple[str, ...] = box.warnings
        started: railcar.Container = box.start()
        pid: int = started.pid
        result: railcar.ExecResult = box.exec(["/bin/cat"], input=b"in", env={"A": "b"}, cwd="/", user="0:0")
        output: bytes = result.stdout
        state: Mapping[str, object] = box.state
        listed = names(root)
        more = usage(box) >= 0 and first(box.events(0.1)) in ("stats", "oom") and bool(box.processes())
        code: int | None = box.update({"pids": {"limit": 20}}).pause().resume().kill("KILL").wait(timeout=60)
        try:
            box.exec(["/bin/true"])
        except railcar.RailcarError as error:
            message: str = error.message
            print(message)
    print(pid > 0, output, listed, state["id"], more, code, warnings)
    railcar.shutdown()
    return 0 if result.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
