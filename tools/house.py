"""The environment that runs the project's jobs: a virtual environment with nox, uv and hatchling, pinned, made once.

Standard library only: it is what a machine with python3 and git starts from.
"""

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / ".nox" / "house"
PINS = ROOT / "requirements" / "house.txt"
PACKAGES = ("ocicommon", "railcar", "crashcart", "smith")


def ensure() -> Path:
    """Return the environment's bin directory, made or renewed where its pins or its interpreter have changed."""
    wanted = hashlib.sha256(PINS.read_bytes() + sys.version.encode() + str(HOUSE).encode()).hexdigest()
    stamp = HOUSE / "stamp"
    bin_ = HOUSE / "bin"
    if stamp.exists() and stamp.read_text() == wanted:
        return bin_
    print(f"Making the project's environment in {HOUSE.relative_to(ROOT)}", file=sys.stderr)
    venv.create(HOUSE, clear=True, with_pip=True)
    pip: list[str | Path] = [
        bin_ / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
    ]
    patiently([*pip, "-r", PINS])
    stamp.write_text(wanted)
    return bin_


def patiently(command: list[str | Path], attempts: int = 3) -> None:
    """Run a command that needs the network, and try again where it fails: an index may be slow for a moment."""
    for attempt in range(1, attempts + 1):
        code = subprocess.run(command, check=False).returncode
        if code == 0:
            return
        print(f"{Path(command[0]).name} failed with {code} (attempt {attempt} of {attempts})", file=sys.stderr)
        if attempt < attempts:
            time.sleep(5 * attempt)
    sys.exit(f"error: cannot run {' '.join(map(str, command))}: is the package index reachable?")


def install(python: Path, *arguments: str) -> None:
    """Install into the environment of a Python by uv or, where uv does not get through to the index, by pip."""
    bin_ = ensure()
    quick: list[str | Path] = [
        bin_ / "uv",
        "pip",
        "install",
        "--quiet",
        "--system-certs",
        "--python",
        python,
        *arguments,
    ]
    if subprocess.run(quick, check=False).returncode == 0:
        return
    print("uv failed; pip tries", file=sys.stderr)
    words = ["--force-reinstall" if word == "--reinstall" else word for word in arguments]
    words = [word for word in words if word != "--compile-bytecode"]  # pip does so anyway
    patiently(
        [bin_ / "python", "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-q", *words]
    )


def wheels(into: Path) -> list[Path]:
    """Build the four packages' wheels into a directory, and return their paths."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob("*.whl"):
        old.unlink()
    bin_ = ensure()
    for name in PACKAGES:
        build: list[str | Path] = [bin_ / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", into]
        done = subprocess.run(build, cwd=ROOT / "packages" / name, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"error: the wheel of {name} does not build:\n{done.stdout}{done.stderr}")
    return sorted(into.glob("*.whl"))


def run(job: str, *arguments: str) -> None:
    """Become nox with one of the noxfile's sessions."""
    nox = ensure() / "nox"
    os.chdir(ROOT)
    os.execv(nox, [str(nox), "--reuse-existing-virtualenvs", "-s", *job.split(","), "--", *arguments])


if __name__ == "__main__":
    run(sys.argv[1], *sys.argv[2:])
