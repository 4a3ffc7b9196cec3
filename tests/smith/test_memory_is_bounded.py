"""No layer is ever whole in memory: the peak of a build does not grow with the image."""

import os
import random
import subprocess
import sys
from pathlib import Path

LIMIT = 64 << 10
PROGRAM = """
import sys
from smith.cli import main
try:
    main()
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print("peak", peak.split()[1], file=sys.stderr)
"""


def peak(folder: Path, image: str, extra: list[str] | None = None) -> int:
    """KiB of the most memory that a build took. Its own status tells: what its parent has is counted in rusage."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "-i", image, *(extra or [])],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split("peak ")[1].split()[0])


def test_a_build_of_many_files_and_a_hundred_megabytes_stays_small(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(1 << 20)
    (tmp_path / "rootfs/many").mkdir(parents=True)
    with (tmp_path / "rootfs/big").open("wb") as big:
        for number in range(100):
            big.write(bytes([number]) + noise[1:])
    for number in range(15_000):
        (tmp_path / f"rootfs/many/a-file-with-a-name-of-usual-length-{number}").write_bytes(noise[number : number + 99])
    (tmp_path / "smith.yaml").write_text("cmd: [/none]\n")
    assert peak(tmp_path, "first.tar") < LIMIT
    (tmp_path / "again").mkdir()
    (tmp_path / "again/smith.yaml").write_text(f"package: {tmp_path}/first.tar\npaths: [/]\ncmd: [/none]\n")
    assert peak(tmp_path / "again", "second.tar.gz", ["--compression", "zstd"]) < LIMIT
