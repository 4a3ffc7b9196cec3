"""Runs the tests, and those that failed once more by themselves: python tools/suite.py [PYTEST ARGUMENT...]

A test that fails beside all others and passes alone is unsteady. That is a bug of the test or of the product, so the
end of the output names it; but it must not hide whether the rest is sound.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def run(arguments: list[str], report: Path) -> int:
    command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *arguments]
    return subprocess.run(command, check=False).returncode


def failed(report: Path) -> list[str]:
    """The failed tests of a report, as CLASSNAME::NAME."""
    cases = ElementTree.parse(report).iter("testcase")
    return sorted(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    )


def main() -> int:
    arguments = sys.argv[1:] or ["tests"]
    with tempfile.TemporaryDirectory() as directory:
        first = Path(directory) / "first.xml"
        code = run(arguments, first)
        if code != 1:  # 0: all passed; above 1: pytest itself could not go on, and repeating would not tell more
            return code
        unsteady = failed(first)
        print(f"\n{len(unsteady)} tests failed; they run once more, by themselves.", flush=True)
        again = run(["--last-failed", "--last-failed-no-failures=none", *arguments], Path(directory) / "again.xml")
        if again != 0:
            return again
    print("\nUnsteady, passed only when repeated alone (each is a bug to find):", *unsteady, sep="\n  ", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
