"""The runtimes that are measured: railcar as installed beside this interpreter, runc and crun, new or the system's."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("railcar", "runc", "crun")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


_INSIDE = "RAILCAR_BENCH_INSIDE"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which peers are measured."""
    parser.add_argument("--installed", action="store_true", help="measure the system's runc and crun")
    parser.add_argument("--suite", default="sid", help="the Debian suite whose runc and crun are fetched (sid)")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="where from")


def chosen(options: argparse.Namespace) -> dict[str, str]:
    """Name -> program, as the options ask; the system's own where the suite cannot be had, which is then said."""
    found = installed()
    if options.installed:
        return found
    try:
        return found | from_suite(Path(sys.prefix) / f"peers-{options.suite}", options.suite, options.mirror)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"warning: {options.suite} cannot be had ({error}): the system's own runc and crun run", file=sys.stderr)
        return found


def enter_private_mounts(*, v2: bool = False) -> None:
    """Start this program again in a mount namespace of its own: without the hybrid mount of v2, or with v2 alone."""
    if os.geteuid() != 0:
        sys.exit("error: containers are measured as root: run this as root")
    if _INSIDE in os.environ:
        return
    line = "umount /sys/fs/cgroup/unified 2>/dev/null"
    if v2:
        line = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--mount", "sh", "-c", f'{line}; exec "$@"', "sh", sys.executable, *sys.argv])


def installed() -> dict[str, str]:
    """Name -> program of the three. Ends the program with one sentence when one of them is missing."""
    own = Path(sys.executable).parent / "railcar"
    found = {"railcar": str(own), "runc": shutil.which("runc"), "crun": shutil.which("crun")}
    missing = [name for name, path in found.items() if not path or not Path(path).exists()]
    if missing:
        sys.exit(f"error: {', '.join(missing)} is not installed: tools/packages test installs the peers")
    return {name: str(path) for name, path in found.items()}


def from_suite(place: Path, suite: str, mirror: str) -> dict[str, str]:
    """runc and crun of another Debian suite, under ``place``, with the libraries that they were built with.

    Nothing is installed: apt downloads into a directory of its own as if the system were empty, and the two programs
    are given their own loader and library path (patchelf). Raises CalledProcessError when a step fails.
    """
    programs = {"runc": place / "root/usr/sbin/runc", "crun": place / "root/usr/bin/crun"}
    if not all(path.exists() for path in programs.values()):
        _unpack(place, suite, mirror)
        root = place / "root"
        loader = next((root / "usr").rglob("ld-linux-*.so.*"))
        for program in programs.values():
            command = ["patchelf", "--set-interpreter", str(loader), "--set-rpath", _libraries(root), str(program)]
            subprocess.run(command, check=True)
    return {name: str(path) for name, path in programs.items()}


def versions(programs: dict[str, str]) -> dict[str, str]:
    """Name -> the last word of the first line of ``--version``."""
    told = {name: subprocess.check_output([path, "--version"], text=True) for name, path in programs.items()}
    return {name: text.splitlines()[0].split()[-1] for name, text in told.items()}


def _libraries(root: Path) -> str:
    return str(next(path for path in (root / "usr/lib").iterdir() if path.name.endswith("-linux-gnu")))


def _unpack(place: Path, suite: str, mirror: str) -> None:
    for name in ("usr/lib", "usr/lib64", "usr/bin", "usr/sbin"):
        (place / "root" / name).mkdir(parents=True, exist_ok=True)
    for name in ("lib", "lib64", "bin", "sbin"):
        link = place / "root" / name
        if not link.is_symlink():
            link.symlink_to(f"usr/{name}")
    apt = Apt(place, f"deb [signed-by={KEYRING}] {mirror} {suite} main")
    apt.run("update")
    apt.run("--download-only", "install", "runc", "crun")
    for package in apt.packages():
        subprocess.run(["dpkg-deb", "--extract", str(package), str(place / "root")], check=True)


class Apt:
    """apt in a folder of its own, with one source and as if the system were empty. Nothing is installed."""

    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}

    def __init__(self, place: Path, source: str) -> None:
        self.place = place
        for name in ("lists/partial", "archives/partial"):
            (place / name).mkdir(parents=True, exist_ok=True)
        (place / "sources.list").write_text(f"{source}\n")
        (place / "status").touch()

    def command(self, *words: str) -> list[str]:
        """The command line of apt-get with these words."""
        settings = {
            "Dir::Etc::sourcelist": self.place / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": self.place / "lists",
            "Dir::State::status": self.place / "status",
            "Dir::Cache": self.place,
            "Dir::Cache::archives": self.place / "archives",
            "Acquire::Check-Valid-Until": "false",  # a mirror's snapshot may be older than its own date of expiry
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        options = (f"-o{key}={value}" for key, value in settings.items())
        return ["apt-get", "-qq", "-y", "--no-install-recommends", *options, *words]

    def run(self, *words: str) -> None:
        """Run it, with what it says among the errors. CalledProcessError."""
        subprocess.run(self.command(*words), check=True, env=self.environment, stdout=sys.stderr)

    def addresses(self, *names: str) -> dict[str, str]:
        """Address -> file name of all that installing `names` would download."""
        command = self.command("--print-uris", "install", *names)
        told = subprocess.run(command, check=True, env=self.environment, stdout=subprocess.PIPE, text=True).stdout
        return {line.split()[0].strip("'"): line.split()[1] for line in told.splitlines() if line.startswith("'")}

    def packages(self) -> list[Path]:
        """The .deb files that were downloaded."""
        return sorted((self.place / "archives").glob("*.deb"))
