"""ctrl-C at any moment, a full disk anywhere: one sentence, the old image as it was, no poisoned cache."""

import base64
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import importlib, os, sys

number, moment = int(sys.argv.pop(1)), sys.argv.pop(1)
module, _, names = moment.partition(":")
owner = importlib.import_module(module)
*above, name = names.split(".")
for each in above:
    owner = getattr(owner, each)
original = getattr(owner, name)

def now(*arguments, **options):
    os.kill(os.getpid(), number)
    return original(*arguments, **options)

static = isinstance(vars(owner)[name], staticmethod)
setattr(owner, name, staticmethod(now) if static else now)
from smith.cli import main
main()
"""
MOMENTS = {
    "a download begins": "smith.fetch:Fetcher.stream",
    "a download is kept": "smith.cache:Cache._keep",
    "a layer is read": "smith.imagefile:inflate",
    "names are read": "smith.layers:members",
    "needs are followed": "smith.elf.follow:complete",
    "a block is compressed": "smith.compress:_gzip",
    "the layer is done": "smith.builder:assemble",
    "the image is written": "smith.archive:archived",
    "the image takes its name": "os:rename",
}
OLD = b"the old image"


@pytest.fixture
def project(run_smith: Any, make_image: Any) -> Any:
    """An image to take files from, a package of npm to fetch, and an old output in a folder of its own."""
    folder: Path = run_smith.folder
    noise = random.Random(1).randbytes(2 << 20)
    make_image([("app", b"x"), ("noise", noise)]).write(folder / "in.tar")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/index.js")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"1"))
    (folder / "a.tgz").write_bytes(packed.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
    entry = {"version": "1.0.0", "resolved": "file:a.tgz", "integrity": integrity}
    (folder / "package.json").write_text('{"dependencies": {"a": "*"}}')
    (folder / "package-lock.json").write_text(json.dumps({"packages": {"node_modules/a": entry}}))
    run_smith.yaml("package: in.tar\npaths: [/app, /noise]\npackage-json: package.json\n")
    (folder / "out").mkdir()
    (folder / "out/out.tar").write_bytes(OLD)
    (folder / "tmp").mkdir()
    run_smith.environment["TMPDIR"] = str(folder / "tmp")
    return run_smith


def unharmed(project: Any) -> None:
    """Nothing half-done is left, and what the cache has gives the image that an empty cache gives."""
    folder: Path = project.folder
    assert os.listdir(folder / "out") == ["out.tar"]
    assert (folder / "out/out.tar").read_bytes() == OLD
    assert os.listdir(folder / "tmp") == []
    cache = folder / "cache/smith"
    assert not list(cache.glob("tmp/*"))
    for blob in cache.glob("blobs/*/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    again = json.loads(project("-i", "out/out.tar", "--json").stdout)["digest"]
    fresh = project("-i", "fresh.tar", "--json", XDG_CACHE_HOME=str(folder / "fresh"))
    assert again == json.loads(fresh.stdout)["digest"]


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_ctrl_c_at_any_moment_leaves_nothing_half_done(project: Any, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "2", moment, "-i", "out/out.tar"],
        cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stderr == "smith: interrupted; what was there before is as it was\n"
    unharmed(project)


@pytest.mark.parametrize("moment", ["a block is compressed", "the image is written"])
def test_termination_leaves_nothing_half_done(project: Any, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "15", MOMENTS[moment], "-i", "out/out.tar"],
        cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (143, "smith: terminated; what was there before is as it was\n")
    unharmed(project)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A function: run words with a tmpfs of 1 MiB over a folder, whose files are put back there, and list it then."""
    words = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a tmpfs in a mount namespace of its own")

    def run(project: Any, folder: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        script = (
            'cp -a "$1" "$1.kept" && mount -t tmpfs -o size=1m none "$1" && cp -a "$1.kept/." "$1"\n'
            'shift; "$@"; code=$?\ncd "$FOLDER" && find . -type f >"$FOUND"\nexit $code'
        )
        place = project.folder / folder
        place.mkdir(exist_ok=True)
        found = project.folder / "found"
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script,
             "sh", str(place), str(project.command), "-i", "out/out.tar"],
            cwd=project.folder, env={**project.environment, "FOLDER": str(place), "FOUND": str(found)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done, found.read_text().split()

    return run


@pytest.mark.root
@pytest.mark.parametrize(
    ("folder", "left", "said"),
    [
        ("out", ["./out.tar"], "out/out.tar: cannot be written: No space left on device"),
        ("cache", [], "No space left on device"),
        ("tmp", [], "No space left on device"),
    ],
)
def test_a_full_disk_is_one_sentence(project: Any, small_disk: Any, folder: str, left: list[str], said: str) -> None:
    done, found = small_disk(project, folder)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    kept = [name for name in found if not name.startswith(("./smith/blobs/", "./smith/derived/"))]
    assert kept == left
    unharmed(project)
