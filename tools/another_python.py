"""Another Python than the one that runs the tests, from Debian's archive: one digest on both is what smith promises.

smith itself builds it, from the mirror of the machine's own apt sources and a release that has it. Nothing of it is
installed: its own loader starts it out of a folder, so neither root nor a container is needed.
"""

import subprocess
import sys
from pathlib import Path

import house

#: Debian's release by the Python that it has; the first one that is not ours is taken.
RELEASES = {(3, 13): ("trixie", "libarchive13t64"), (3, 11): ("bookworm", "libarchive13")}
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RECIPE = """\
type: deb
packages: [python{version}-minimal, libpython{version}-minimal, libpython{version}-stdlib, {libarchive}]
repositories:
  - url: {mirror}
    suites: [{release}]
    components: [main]
    keys: [{keys}]
entrypoint: [/usr/bin/python{version}]
"""
COMMAND = """\
#!/bin/sh
PYTHONHOME={root}/usr PYTHONPATH={site} PYTHONDONTWRITEBYTECODE=1
export PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
exec {loader} --library-path {libraries} {root}/usr/bin/python{version} "$@"
"""


def ensure(place: Path, smith: Path, requirements: Path, wheels: list[Path]) -> Path | None:
    """The command of a Python with these requirements and wheels, made below `place`; None where it cannot be had."""
    found, (release, libarchive) = next(item for item in RELEASES.items() if item[0] != sys.version_info[:2])
    version = ".".join(map(str, found))
    command_file = place / f"python{version}"
    site = place / f"site-{version}"
    root = root_of(command_file)
    if not root.is_dir():
        mirror = _mirror()
        if not mirror or not KEYS.exists():
            _without(version, "apt has no Debian archive here")
            return None
        place.mkdir(parents=True, exist_ok=True)
        recipe = RECIPE.format(version=version, libarchive=libarchive, mirror=mirror, release=release, keys=KEYS)
        (place / "smith.yaml").write_text(recipe)
        image = str(place / "image.tar")
        for words in (["-d", str(place), "-i", image], ["unpack", image, str(place / version)]):
            done = subprocess.run([str(smith), *words], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                _without(version, done.stderr.strip())
                return None
    loader = next(root.glob("lib*/ld-linux-*.so.*"), None)
    if loader is None:
        _without(version, f"{root} has no loader")
        return None
    install = (str(house.ensure() / "uv"), "pip", "install", "--quiet", "--system-certs", "--python", sys.executable)
    target = ("--python-version", version, "--target", str(site))
    pinned = ("--no-build", "--require-hashes", "-r", str(requirements))
    for what in (pinned, ("--no-deps", "--reinstall", *map(str, wheels))):
        if subprocess.run([*install, *target, *what], check=False).returncode != 0:
            _without(version, "its packages cannot be installed")
            return None
    libraries = ":".join(sorted({str(path.parent) for path in root.glob("usr/lib/**/*.so.*")}))
    command_file.write_text(
        COMMAND.format(root=root, site=site, loader=loader, libraries=libraries, version=version), encoding="utf-8"
    )
    command_file.chmod(0o755)
    return command_file


def root_of(command: Path) -> Path:
    """The root, a small Debian system, out of which such a command runs."""
    return command.parent / command.name.removeprefix("python") / "rootfs"


def _mirror() -> str:
    words = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    addresses = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Debian ")]
    return next((address for address in addresses if "security" not in address), "")


def _without(version: str, why: str) -> None:
    print(f"No Python {version}, going on without: {why}", file=sys.stderr)
