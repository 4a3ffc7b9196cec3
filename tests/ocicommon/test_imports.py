"""`import ocicommon` and its pure modules cost next to nothing."""

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "pydantic_core", "typing_extensions", "ctypes", "_ctypes", "asyncio", "http")
PURE = ("digest", "reference", "platform", "mediatypes", "canonical", "accounts", "convert", "errors", "positions")


def heavy_after(*names: str) -> set[str]:
    code = f"import sys\nfor name in {names!r}: __import__(name)\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(HEAVY) & set(found.stdout.split())


def test_package_imports_nothing_heavy() -> None:
    assert heavy_after("ocicommon") == heavy_after()
    code = "import sys; before = set(sys.modules); import ocicommon; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["ocicommon"]


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_nothing_heavy(name: str) -> None:
    assert heavy_after(f"ocicommon.{name}") == set()
