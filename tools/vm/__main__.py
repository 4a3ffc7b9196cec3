"""`python -m tools.vm [OPTION...] [-- PYTEST ARGUMENT...]`: run railcar's tests in a virtual machine."""

import argparse
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

if __package__ != "vm":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vm import conformance, job, machine, packages, root, running, watch
from vm.errors import MachineError, Unavailable

CHECKOUT = Path(__file__).resolve().parents[2]
#: What `--short` runs: the tests for what only such a machine has, in a guest with each security module. Debian's criu
#: works on the guest's kernel alone.
CRIU = ["tests/railcar/test_checkpoint.py", "tests/railcar/test_checkpoint_outside.py"]
SHORT = {"apparmor": ["tests/railcar/vm", *CRIU], "selinux": ["tests/railcar/vm/test_selinux.py"]}


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is left for pytest."""
    parser = argparse.ArgumentParser(prog="vm", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--short", action="store_true", help="run what only such a machine has, and skip where there can be none"
    )
    parser.add_argument("--security", choices=machine.SECURITY, default="apparmor", help="the guest's security module")
    parser.add_argument("--accelerator", choices=machine.ACCELERATORS, default="tcg", help="how the guest is run")
    parser.add_argument("--engines", action="store_true", help="have the engines in the guest")
    parser.add_argument(
        "--conformance", type=Path, help="run runc's tests, of this directory, by tools/conformance/inside"
    )
    parser.add_argument("--seconds", type=float, default=0, help="how long the tests may take")
    parser.add_argument("--cache", type=Path, default=CHECKOUT / ".nox" / "guest", help="where roots are kept")
    parser.add_argument("--results", type=Path, help="a file for the guest's junit xml")
    return parser.parse_known_args([word for word in argv if word != "--"])


def summary(xml: bytes) -> str:
    """One sentence about a junit xml."""
    suite = next(ElementTree.fromstring(xml).iter("testsuite"))
    counts = {name: int(suite.get(name) or 0) for name in ("tests", "failures", "errors", "skipped")}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def guest(made: root.Root, security: str, arguments: list[str], seconds: float, accelerator: str) -> watch.Report:
    """One boot with one call of pytest. Raises MachineError."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="vm-") as directory:
        place = Path(directory)
        environment = Path(sys.prefix)
        disk = job.disk(CHECKOUT, environment, job.settings(CHECKOUT, environment, arguments, seconds), place)
        deadlines = watch.Deadlines(job=seconds)
        return running.run(made, disk, place, deadlines, security=security, accelerator=accelerator)


def conform(made: root.Root, kit: Path, arguments: list[str], seconds: float, accelerator: str) -> watch.Report:
    """One boot with runc's tests. Raises MachineError."""
    with tempfile.TemporaryDirectory(dir=kit, prefix="vm-") as directory:
        place = Path(directory)
        told = conformance.settings(arguments, seconds)
        disk = conformance.disk(kit, conformance.wheels(), told, place)
        deadlines = watch.Deadlines(job=seconds)
        return running.run(made, disk, place, deadlines, security="apparmor", accelerator=accelerator)


def main() -> int:
    options, arguments = parse(sys.argv[1:])
    seconds = options.seconds or (900 if options.short else 3600)
    boots = SHORT if options.short and not arguments else {options.security: arguments or ["tests/railcar"]}
    code = 0
    try:
        why = machine.lacking()
        if why:
            raise Unavailable(why)
        made = root.ensure(options.cache, packages.WANTED + (packages.ENGINES if options.engines else []))
        if options.conformance:
            report = conform(made, options.conformance.resolve(), arguments, seconds, options.accelerator)
            if options.results:
                options.results.write_bytes(report.files.get("results.tap", b""))
            return report.code or 0
        for security, chosen in boots.items():
            report = guest(made, security, chosen, seconds, options.accelerator)
            xml = report.files.get("junit.xml")
            if xml and options.results:
                options.results.write_bytes(xml)
            print(f"In the guest, with {security}: {summary(xml) if xml else 'no results'}", file=sys.stderr)
            code = code or report.code or 0
    except Unavailable as error:
        print(f"No virtual machine here: {error}.", file=sys.stderr)
        return 0 if options.short else 1
    except MachineError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
