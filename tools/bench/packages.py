"""smith beside apt: more than a hundred packages solved, fetched from loopback and built, cold and warm.

    nox -s bench -- packages [--names NAME,...] [--rounds N] [--suite SUITE] [--mirror URL] [--json FILE]

A part of a real archive is downloaded once and kept: the release file with its own signature, the whole index of main,
and the packages that `--names` need. A server of its own process gives it on loopback. `smith` makes one image of all
files of all packages, `program` one of the files that `--names` own and need; `apt` does the nearest job: it updates,
solves, downloads, and dpkg-deb unpacks each package into one folder. Cold is with an empty cache, warm with a full one,
where both still ask the server for news.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import Figures, table, timed
from peers import KEYRING, Apt

NAMES = "nginx,postgresql,python3-flask,redis-server,curl,git,openssh-server"
ALWAYS = "base-files"
"""What smith takes the distribution's name from, whatever depends on it."""
ENOUGH = 100
PRIVATE = "[/etc/shadow, /etc/gshadow, /etc/default/cacerts]"
SIDES = ("smith", "program", "apt")


def archive(place: Path, suite: str, mirror: str, names: list[str]) -> int:
    """Have the part of the archive that `names` need under `place`; the number of packages."""
    listing = place / "packages"
    wanted = f"{mirror} {suite} {' '.join(names)}\n"
    if listing.exists() and listing.read_text().startswith(wanted):
        return len(listing.read_text().splitlines()) - 1
    shutil.rmtree(place, ignore_errors=True)
    apt = Apt(place / "apt", f"deb [signed-by={KEYRING}] {mirror} {suite} main")
    apt.run("update")
    addresses = apt.addresses(*names)
    apt.run("--download-only", "install", *names)
    for address, file in addresses.items():
        target = place / "served" / urllib.parse.unquote(address).removeprefix(f"{mirror}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        (place / "apt/archives" / file).rename(target)
    dists = place / "served/dists" / suite
    dists.mkdir(parents=True)
    urllib.request.urlretrieve(f"{mirror}/dists/{suite}/InRelease", dists / "InRelease")
    index = f"main/binary-{architecture()}/Packages.xz"
    release = (dists / "InRelease").read_text()
    digest = next(
        line.split()[0] for line in release.splitlines() if line.endswith(index) and len(line.split()[0]) == 64
    )
    for path in (index, f"{Path(index).parent}/by-hash/SHA256/{digest}"):
        (dists / path).parent.mkdir(parents=True, exist_ok=True)
        urllib.request.urlretrieve(f"{mirror}/dists/{suite}/{index}", dists / path)
    shutil.rmtree(place / "apt")
    listing.write_text(wanted + "".join(f"{file}\n" for file in sorted(addresses.values())))
    return len(addresses)


def architecture() -> str:
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on loopback, by a process of its own; its address."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().partition("(")[2].partition("/)")[0]
    finally:
        process.kill()
        process.communicate()


def describe(place: Path, address: str, suite: str, names: list[str]) -> None:
    """The two smith.yaml."""
    text = (
        f"type: deb\npackages: [{', '.join(names)}]\ncmd: [/none]\nrepositories:\n- url: {address}\n"
        f"  suites: [{suite}]\n  components: [main]\n  keys: [{KEYRING}]\n  options: {{check-valid-until: 'no'}}\n"
    )
    (place / "program.yaml").write_text(text)
    (place / "smith.yaml").write_text(f"{text}paths: [{{path: /, optional: true}}]\nexcludes: {PRIVATE}\n")


def commands(smith: str, place: Path, address: str, suite: str, names: list[str]) -> dict[str, list[list[str]]]:
    """Side -> the commands of one run, whose caches lie below place/SIDE."""
    found = {
        side: [["env", f"XDG_CACHE_HOME={place / side}", smith, "-c", f"{name}.yaml", "-i", f"{side}.tar"]]
        for side, name in (("smith", "smith"), ("program", "program"))
    }
    apt = Apt(place / "apt", f"deb [signed-by={KEYRING}] {address} {suite} main")
    unpack = 'mkdir root && for p in archives/*.deb; do dpkg-deb --extract "$p" root || exit 1; done'
    found["apt"] = [
        apt.command("update"),
        apt.command("--download-only", "install", *names),
        ["sh", "-c", f"cd {apt.place} && {unpack}"],
    ]
    return found


def run(planned: list[list[str]], place: Path) -> Figures:
    """One run of several commands, as the figures of one."""
    steps = [timed(command, cwd=place) for command in planned]
    wall, cpu = sum(step.wall[0] for step in steps), sum(step.cpu[0] for step in steps)
    return Figures([wall], [cpu], [max(step.rss[0] for step in steps)])


def measure(smith: str, place: Path, address: str, suite: str, names: list[str], rounds: int) -> dict[str, Figures]:
    """Interleave all sides: each cold and at once warm."""
    figures: dict[str, Figures] = {}
    for number in range(rounds):
        first = number % len(SIDES)
        for side in (*SIDES[first:], *SIDES[:first]):
            shutil.rmtree(place / side, ignore_errors=True)
            planned = commands(smith, place, address, suite, names)[side]
            for state in ("cold", "warm"):
                shutil.rmtree(place / "apt/root", ignore_errors=True)
                figures.setdefault(f"{side} {state}", Figures()).add(run(planned, place))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", default=NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    smith = Path(sys.executable).parent / "smith"
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing or not smith.exists():
        sys.exit(f"error: {', '.join(missing) or 'smith'} is not installed: this is measured on a Debian system")
    names = [*options.names.split(","), ALWAYS]
    kept = Path(sys.prefix) / "bench-packages"
    try:
        count = archive(kept, options.suite, options.mirror, names)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {options.mirror} {options.suite} cannot be had: {error}")
    if count < ENOUGH:
        print(f"warning: {options.names} need {count} packages only, fewer than {ENOUGH}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="smith-bench-", dir="/var/tmp") as folder, served(kept / "served") as url:
        describe(Path(folder), url, options.suite, names)
        found = measure(str(smith), Path(folder), url, options.suite, names, options.rounds)
    summary = {name: figures.summary() for name, figures in found.items()}
    rows = [[f"{count} packages", "median ms", "cpu ms", "RSS MiB", "ratio to apt"]]
    for name, each in summary.items():
        ratio = each["median_ms"] / summary[f"apt {name.split()[1]}"]["median_ms"]
        cells = (each["median_ms"], each["cpu_ms"], each["peak_rss_kib"] / 1024)
        rows.append([name, *(f"{cell:.0f}" for cell in cells), f"{ratio:.2f}"])
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
