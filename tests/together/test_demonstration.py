"""The three tools end to end: what tools/demo shows, held as a test."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIRROR = "http://deb.debian.org/debian/dists/stable/InRelease"
NOBODY = 65534


@pytest.fixture(scope="module", autouse=True)
def mirror() -> None:
    if not Path("/etc/debian_version").exists():
        pytest.skip("builds from this machine's apt sources: not a Debian system")
    try:
        urllib.request.urlopen(MIRROR, timeout=30).close()
    except (urllib.error.URLError, OSError) as error:
        pytest.skip(f"Debian's mirror cannot be reached: {error}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can pass through."""
    path = Path(tempfile.mkdtemp(prefix="together.", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.root
def test_demo_serves_a_page_and_leaves_nothing(place: Path) -> None:
    script = [sys.executable, str(ROOT / "tools/demonstration.py"), "--json", str(place / "figures.json")]
    done = subprocess.run(script, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((place / "figures.json").read_text())
    assert figures["page"] == "200 OK"
    assert figures["size of the root"] < figures["size of the closure"] / 2
    assert "LISTEN" in done.stdout
    assert "Nothing is left" in done.stdout


def build(smith: Path, place: Path, name: str, *before: str, **environment: str) -> str:
    """Build the demo's image under some circumstances; return its digest and its layer file's hash."""
    home = place / name
    home.mkdir()
    if before:
        os.chown(home, NOBODY, NOBODY)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **environment}
    env |= {key: value for key, value in os.environ.items() if key.endswith(("_CA_BUNDLE", "_CERT_FILE", "_proxy"))}
    command = [*before, smith, "build", "-d", ROOT / "tools/demonstration.d", "-i", home / "image.tar", "--json"]
    done = subprocess.run(
        [str(word) for word in command], cwd=home, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    digest: str = json.loads(done.stdout)["digest"]
    return digest


@pytest.mark.root
def test_image_has_one_digest_whoever_builds_it_and_wherever(smith: Path, place: Path) -> None:
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if subprocess.run([*as_nobody, smith, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("another user cannot reach the installed smith: the checkout lies below a closed directory")
    first = build(smith, place, "root", LANG="C.UTF-8", TZ="UTC")
    second = build(smith, place, "umask", "sh", "-c", 'umask 077; exec "$@"', "sh", LANG="tr_TR.UTF-8", TZ="Asia/Tokyo")
    third = build(smith, place, "nobody", *as_nobody, LC_ALL="POSIX", TZ="America/Lima")
    assert first == second == third
