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
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


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


@pytest.fixture(scope="module")
def tools(crashcart: Path) -> Iterator[Path]:
    """crashcart's small image, where other users can read it."""
    path = Path(tempfile.mkdtemp(prefix="together.", dir="/var/tmp"))
    path.chmod(0o755)
    words = [str(crashcart), "build", "--preset", "tiny", "-o", str(path / "tools.img")]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280, check=False)
    if "install it" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    yield path / "tools.img"
    shutil.rmtree(path)


def demonstrate(place: Path, tools: Path, *before: str) -> dict[str, object]:
    """Run the demo, perhaps as another user; return its figures."""
    script = [sys.executable, str(ROOT / "tools/demonstration.py"), "--tools", str(tools)]
    env = {**os.environ, "HOME": str(place), "XDG_CACHE_HOME": str(place / "cache"), "TMPDIR": str(place)}
    env.pop("XDG_RUNTIME_DIR", None)
    done = subprocess.run(
        [*before, *script, "--json", str(place / "figures.json")],
        env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LISTEN" in done.stdout
    assert "Nothing is left" in done.stdout
    figures: dict[str, object] = json.loads((place / "figures.json").read_text())
    return figures


@pytest.mark.root
def test_demo_serves_a_page_and_leaves_nothing(place: Path, tools: Path) -> None:
    figures = demonstrate(place, tools)
    assert figures["page"] == "200 OK"
    assert isinstance(figures["size of the root"], int)
    assert isinstance(figures["size of the closure"], int)
    assert figures["size of the root"] < figures["size of the closure"] / 2


@pytest.mark.root
@pytest.mark.usefixtures("other_users")
def test_demo_says_what_a_normal_user_lacks() -> None:
    """nobody has no subordinate ids. That the demo works for a user who has some, `tools/fresh --user` shows."""
    script = [*AS_NOBODY, sys.executable, str(ROOT / "tools/demonstration.py")]
    done = subprocess.run(script, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "usermod --add-subuids" in done.stderr


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
@pytest.mark.usefixtures("other_users")
def test_image_has_one_digest_whoever_builds_it_and_wherever(smith: Path, place: Path) -> None:
    first = build(smith, place, "root", LANG="C.UTF-8", TZ="UTC")
    second = build(smith, place, "umask", "sh", "-c", 'umask 077; exec "$@"', "sh", LANG="tr_TR.UTF-8", TZ="Asia/Tokyo")
    third = build(smith, place, "nobody", *AS_NOBODY, LC_ALL="POSIX", TZ="America/Lima")
    assert first == second == third
