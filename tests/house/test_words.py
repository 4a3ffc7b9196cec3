"""What the repository says of itself: nothing of a registry's host, and the papers of every package."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = "py" + "pi"
HOSTS = re.compile(rf"{INDEX}\.(org|io)|python" + r"hosted\.org|npm" + r"js\.(org|com)")


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def test_no_host_name_of_a_package_registry() -> None:
    for path in tracked():
        if path.is_file():
            found = HOSTS.search(path.read_text(errors="replace"))
            assert not found, f"{path}: {found.group() if found else ''}"


@pytest.mark.parametrize("package", ["ocicommon", "railcar", "crashcart", "smith"])
def test_every_package_has_its_papers(package: str) -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-UPL", "pyproject.toml"):
        assert (ROOT / "packages" / package / name).stat().st_size > 0
    assert (ROOT / "packages" / package / "src" / package / "py.typed").exists()


def test_every_script_of_tools_says_what_it_does() -> None:
    for path in (ROOT / "tools").iterdir():
        if path.is_file() and not path.suffix:
            first, second = path.read_text().splitlines()[:2]
            assert first.startswith("#!")
            assert second.startswith(("# ", '"""'))
            assert path.stat().st_mode & 0o111
