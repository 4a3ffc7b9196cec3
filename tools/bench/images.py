"""smith beside skopeo and umoci: from a whole image to a microcontainer, interleaved in one run.

    nox -s bench -- images [--presets NAME,...] [--rounds N] [--original PATH] [--json FILE]

For each preset a source image with the package's whole dependency closure is built first (needs the package archive).
`smith` takes the preset's files out of that image; `umoci` does the nearest job: skopeo copies the archive to a layout
and umoci unpacks it, which is where its user would begin to delete; `gzip` compresses the microcontainer's layer
alone. smith's cache is empty each time; `again` is the same build once more, of which nothing changed. `original` is a
built oracle/smith, where one is given: it is called with `-c original.yaml -i original.tar.gz`, and that file names in
its `paths` what smith chose, since the original knows no presets. `failed` means that it ended with an error.
"""

import argparse
import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import Failed, Figures, table, timed

PRESETS = ("bash", "curl", "nginx", "redis", "python", "node", "openjdk", "postgres", "memcached")


def source_yaml(preset: Path) -> tuple[str, str]:
    """smith.yaml of the whole closure, and smith.yaml that takes the preset's files out of that image."""
    text = (preset / "smith.yaml").read_text(encoding="utf-8")
    packages = next(line for line in text.splitlines() if line.startswith("packages:"))
    name = packages.partition("[")[2].partition("]")[0].split(",")[0].strip()
    everything = "paths: [{path: /, optional: true}]\n"
    everything += "excludes: [/etc/shadow, /etc/gshadow, /etc/default/cacerts]\ncmd: [/none]\n"
    whole = f"package: {name}\ntype: deb\n{packages}\n{everything}"
    return whole, f"package: source.tar\n{text}"


def prepare(smith: str, preset: str, presets: Path, place: Path) -> None:
    """Build the source image of one preset."""
    place.mkdir()
    whole, chosen = source_yaml(presets / preset)
    (place / "smith.yaml").write_text(whole, encoding="utf-8")
    timed([smith, "-i", "source.tar"], cwd=place)
    (place / "smith.yaml").write_text(chosen, encoding="utf-8")
    if (presets / preset / "rootfs").is_dir():
        shutil.copytree(presets / preset / "rootfs", place / "rootfs")


def layer_of(archive: Path, target: Path) -> None:
    """Write the inflated layer of a built image, for gzip to do its part of the work."""
    import gzip

    with tarfile.open(archive) as members:
        biggest = max((m for m in members if m.isfile()), key=lambda m: m.size)
        stream = members.extractfile(biggest)
        assert stream is not None
        with gzip.open(stream) as inflated, target.open("wb") as out:
            shutil.copyfileobj(inflated, out)


def original_yaml(layer: Path) -> str:
    """smith.yaml for the original: every file of smith's layer by its path."""
    with tarfile.open(layer) as members:
        paths = [f"/{member.name}" for member in members if not member.isdir()]
    return "type: oci\npackage: source.tar\npaths:\n" + "".join(f"- {json.dumps(path)}\n" for path in paths)


def measure(smith: str, place: Path, rounds: int, original: str) -> dict[str, Figures]:
    """Interleave all sides. A side that failed has no figures."""
    sides = {name: Figures() for name in ("smith", "again", "umoci", "gzip", *(["original"] if original else []))}
    for number in range(rounds):
        cache = place / f"cache{number}"
        command = ["env", f"XDG_CACHE_HOME={cache}", smith, "-i", "micro.tar"]
        sides["smith"].add(timed(command, cwd=place))
        sides["again"].add(timed(command, cwd=place))
        shutil.rmtree(cache)
        if number == 0:
            layer_of(place / "micro.tar", place / "layer")
            (place / "original.yaml").write_text(original_yaml(place / "layer"), encoding="utf-8")
        layout = place / f"layout{number}"
        figures = timed(["skopeo", "copy", "-q", "oci-archive:source.tar", f"oci:{layout}:x"], cwd=place)
        second = timed(["umoci", "unpack", "--image", f"{layout}:x", str(place / f"bundle{number}")], cwd=place)
        figures.wall[0] += second.wall[0]
        figures.cpu[0] += second.cpu[0]
        figures.rss[0] = max(figures.rss[0], second.rss[0])
        sides["umoci"].add(figures)
        shutil.rmtree(place / f"bundle{number}")
        shutil.rmtree(layout)
        sides["gzip"].add(timed(["gzip", "-6", "-k", "-f", "layer"], cwd=place))
        if original and len(sides["original"].wall) == number:
            try:
                sides["original"].add(timed([original, "-c", "original.yaml", "-i", "original.tar.gz"], cwd=place))
            except Failed as error:
                print(f"warning: {error}", file=sys.stderr)
    return sides


def cell(found: dict[str, dict[str, float]], name: str) -> str:
    """What the table says of a side's time."""
    return f"{found[name]['median_ms']:.0f}" if found.get(name) else "failed" if name in found else "skipped"


def ratio(found: dict[str, dict[str, float]], name: str) -> str:
    """smith's time as a part of another side's."""
    return f"{found['smith']['median_ms'] / found[name]['median_ms']:.2f}" if found.get(name) else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--original", default="", help="a built oracle/smith")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    smith = str(Path(sys.executable).parent / "smith")
    missing = [name for name in ("skopeo", "umoci", "gzip") if shutil.which(name) is None]
    if missing or not Path(smith).exists():
        sys.exit(f"error: {', '.join(missing) or 'smith'} is not installed: tools/packages test installs the peers")
    if options.original and shutil.which(options.original) is None:
        sys.exit(f"error: --original {options.original}: is no program that can be run: name a built oracle/smith")
    original = os.path.abspath(shutil.which(options.original) or "") if options.original else ""
    presets = Path(smith).parent.parent.glob("lib/python3*/site-packages/smith/presets.d")
    folder = next(iter(presets))
    peers = ("umoci", "gzip", "original")
    rows = [
        ["preset", "smith ms", "again ms", "RSS MiB", *(word for peer in peers for word in (f"{peer} ms", "ratio"))]
    ]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="smith-bench-", dir="/var/tmp") as place:
        for preset in options.presets.split(","):
            where = Path(place) / preset
            prepare(smith, preset, folder, where)
            sides = measure(smith, where, options.rounds, original)
            found = {name: figures.summary() if figures.wall else {} for name, figures in sides.items()}
            results[preset] = found
            memory = f"{found['smith']['peak_rss_kib'] / 1024:.0f}"
            compared = (word for peer in peers for word in (cell(found, peer), ratio(found, peer)))
            rows.append([preset, cell(found, "smith"), cell(found, "again"), memory, *compared])
            shutil.rmtree(where)
    print(table(rows))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
