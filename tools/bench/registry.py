"""smith beside skopeo: pushing and pulling one large layer, interleaved in one run, as ratios of medians.

    nox -s bench -- registry [--size MB] [--rounds N] [--json FILE]

Starts Debian's docker-registry on loopback. Every round pushes to a new repository and pulls it again; `library` is
smith's functions without the command line around them.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import Figures, table, timed

SIDES = ("smith", "library", "skopeo")


def programs() -> dict[str, str]:
    own = Path(sys.executable).parent / "smith"
    found = {"smith": str(own) if own.exists() else None}
    found |= {name: shutil.which(name) for name in ("skopeo", "docker-registry")}
    missing = [name for name, path in found.items() if not path]
    if missing:
        sys.exit(f"error: {', '.join(missing)} is not installed: tools/packages test installs the peers")
    return {name: str(path) for name, path in found.items()}


def start_registry(program: str, place: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(place / "data")}},
        "http": {"addr": host},
    }
    config = place / "config.yml"
    config.write_text(json.dumps(settings))
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), 5).close()
            return process, host
        except OSError:
            time.sleep(0.02)
    sys.exit("error: docker-registry did not start")


def make_image(path: Path, size: int, seed: int) -> None:
    """A layout folder with one layer of noise: neither side can shorten it."""
    from hashlib import sha256

    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(content: bytes, media_type: str) -> dict[str, Any]:
        digest = sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_noise(media_type: str) -> dict[str, Any]:
        # Piece by piece: what is measured starts as a copy of this process, and its peak with it.
        noise, hasher, left = random.Random(seed), sha256(), size
        with open(path / "noise", "wb") as file:
            while left:
                piece = noise.randbytes(min(left, 1 << 20))
                hasher.update(piece)
                file.write(piece)
                left -= len(piece)
        os.rename(path / "noise", blobs / hasher.hexdigest())
        return {"mediaType": media_type, "digest": f"sha256:{hasher.hexdigest()}", "size": size}

    prefix = "application/vnd.oci.image"
    layer = add_noise(f"{prefix}.layer.v1.tar+gzip")
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": add(json.dumps(config).encode(), f"{prefix}.config.v1+json"),
        "layers": [layer],
    }
    entry = add(json.dumps(manifest).encode(), f"{prefix}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def commands(found: dict[str, str], host: str, place: Path, number: int) -> dict[tuple[str, str], list[str]]:
    copy = [found["skopeo"], "--insecure-policy", "copy", "--quiet"]
    made = {}
    for name in SIDES:
        remote = f"{host}/{name}/round{number}"
        source, target = str(place / f"{name}-image"), str(place / f"{name}-out")
        if name == "smith":
            made[name, "push"] = [found[name], "upload", "-r", remote, "-i", source]
            made[name, "pull"] = [found[name], "download", "-r", remote, "-i", target]
        elif name == "library":
            for what, words in (("push", (source, remote)), ("pull", (remote, target))):
                code = f"import sys; from smith.registry import {what}; {what}(*sys.argv[1:])"
                made[name, what] = [sys.executable, "-c", code, *words]
        else:
            made[name, "push"] = [*copy, "--dest-tls-verify=false", f"oci:{source}:latest", f"docker://{remote}"]
            made[name, "pull"] = [*copy, "--src-tls-verify=false", f"docker://{remote}", f"oci:{target}:latest"]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=150, help="megabytes of the layer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = programs()
    figures: dict[tuple[str, str], Figures] = {}
    with tempfile.TemporaryDirectory(prefix="bench-registry-") as folder:
        place = Path(folder)
        registry, host = start_registry(found["docker-registry"], place)
        try:
            for number in range(options.rounds):
                # Each side gets its own bytes: the registry would share the blobs of the first with the second.
                for seed, name in enumerate(SIDES):
                    shutil.rmtree(place / f"{name}-image", ignore_errors=True)
                    shutil.rmtree(place / f"{name}-out", ignore_errors=True)
                    make_image(place / f"{name}-image", options.size * 1_000_000, len(SIDES) * number + seed)
                os.sync()
                planned = commands(found, host, place, number)
                # Nobody is always the one who finds the disk busy with another's bytes.
                first = number % len(SIDES)
                for name in (*SIDES[first:], *SIDES[:first]):
                    for what in ("push", "pull"):
                        figures.setdefault((name, what), Figures()).add(timed(planned[name, what]))
                        os.sync()
                shutil.rmtree(place / "data", ignore_errors=True)
        finally:
            registry.kill()
            registry.wait()
    summary = {f"{name} {what}": each.summary() for (name, what), each in sorted(figures.items())}
    rows = [("", "median ms", "cpu ms", "peak MB")]
    for what, each in summary.items():
        rows.append((what, f"{each['median_ms']:.0f}", f"{each['cpu_ms']:.0f}", f"{each['peak_rss_kib'] / 1024:.0f}"))
    print(table(rows))
    for what in ("push", "pull"):
        for name in ("smith", "library"):
            ratio = summary[f"{name} {what}"]["median_ms"] / summary[f"skopeo {what}"]["median_ms"]
            print(f"{what}: {name} / skopeo = {ratio:.2f}")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
