"""The launcher after each installer has had its way with it: scripts are rewritten, linked, and lose their mode."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheels() -> list[str]:
    """railcar's wheel and ocicommon's, as the test command built them."""
    places = [*ROOT.glob(".nox/*/wheels"), *ROOT.glob("dist"), *map(Path, os.environ.get("RAILCAR_WHEELS", "").split())]
    found = [wheel for place in places for wheel in place.glob("railcar-*.whl")]
    if not found:
        pytest.skip("no built wheels in .nox, in dist or where RAILCAR_WHEELS says")
    newest = max(found, key=lambda wheel: wheel.stat().st_mtime)
    return [str(newest), *map(str, newest.parent.glob("ocicommon-*.whl"))]


def run(*words: str | Path, **environment: str) -> None:
    argv = list(map(str, words))
    done = subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    if "no such option" in done.stderr:
        pytest.skip(f"this {Path(argv[0]).name} is too old: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def needs(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{ROOT}/.nox/house/bin")
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def system_pip() -> list[str]:
    """The interpreter of the system that has pip, and its words."""
    python = "/usr/bin/python3"
    asked = [python, "-m", "pip", "install", "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False) if os.path.exists(python) else None
    if done is None or done.returncode != 0:
        pytest.skip("the system's python3 has no pip")
    allowed = ["--break-system-packages"] if "--break-system-packages" in done.stdout else []
    return [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *allowed]


def by_pip_into_a_venv(place: Path, wheels: list[str]) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    command = [needs("pip3"), "--python", str(place / "bin/python"), "install", "-q", "--no-index", "--no-deps"]
    run(*command, *wheels)
    return place / "bin/railcar"


def by_pip_for_a_user(place: Path, wheels: list[str]) -> Path:
    run(*system_pip(), "--user", "--no-warn-script-location", *wheels, PYTHONUSERBASE=str(place))
    return place / "bin/railcar"


def by_pip_into_a_prefix(place: Path, wheels: list[str]) -> Path:
    run(*system_pip(), "--prefix", place, "--no-warn-script-location", *wheels)
    return next(place.rglob("bin/railcar"))


def by_uv(place: Path, wheels: list[str]) -> Path:
    uv = needs("uv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    run(uv, "-q", "pip", "install", "--offline", "--no-deps", "--python", place / "bin/python", *wheels)
    return place / "bin/railcar"


def by_uv_as_a_tool(place: Path, wheels: list[str]) -> Path:
    uv = needs("uv")
    place.mkdir()
    (place / "overrides").write_text('typer; python_version < "3"\n')  # of no use here, and perhaps not to be had
    directories = {"UV_TOOL_DIR": str(place / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
    words = ["--offline", "--python", sys.executable, "--overrides", place / "overrides"]
    run(uv, "-q", "tool", "install", *words, wheels[0], "--with", wheels[1], **directories)
    assert (place / "bin/railcar").is_symlink()
    return place / "bin/railcar"


def by_pipx(place: Path, wheels: list[str]) -> Path:
    """pipx wants the metadata of all dependencies, so typer comes from the package index."""
    pipx = needs("pipx")
    directories = {"PIPX_HOME": str(place / "home"), "PIPX_BIN_DIR": str(place / "bin")}
    argv = [pipx, "install", f"--pip-args=--find-links {Path(wheels[1]).parent}", wheels[0]]
    done = subprocess.run(argv, env={**os.environ, **directories}, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "typer" in done.stderr:
        pytest.skip("no package index for typer")
    assert done.returncode == 0, done.stderr
    return place / "bin/railcar"


WAYS = [by_pip_into_a_venv, by_pip_for_a_user, by_pip_into_a_prefix, by_uv, by_uv_as_a_tool, by_pipx]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_launcher_survives_the_installer(
    tmp_path: Path, wheels: list[str], way: Callable[[Path, list[str]], Path]
) -> None:
    command = way(tmp_path / "a place", wheels)
    (tmp_path / "railcar").symlink_to(command)  # as into /usr/local/bin
    for path in (command, tmp_path / "railcar"):
        for words in (["--version"], ["--root", str(tmp_path / "state"), "list", "-q"]):
            argv = ["/bin/sh", "-c", 'exec "$0" "$@" 0<&-', str(path), *words]
            done = subprocess.run(argv, env={}, cwd="/", capture_output=True, text=True, check=False, timeout=120)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("railcar version " if words[0] == "--version" else "")


def test_help_finds_a_package_in_another_site_directory(tmp_path: Path, wheels: list[str]) -> None:
    """As where Debian's typer is there, and pip puts railcar into /usr/local beside nothing."""
    command = by_pip_into_a_venv(tmp_path / "venv", wheels)
    [home] = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (home / "further.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for words in (["--help"], ["checkpoint", "--help"], ["validate", "--help"]):
        done = subprocess.run([command, *words], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert "USAGE:" in done.stdout
