"""The direction of dependence between the packages, and who may speak to the kernel."""

import ast
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
ARROWS: dict[str, set[str]] = {
    "ocicommon": set(),
    "railcar": {"ocicommon"},
    "crashcart": {"ocicommon", "smith"},
    "smith": {"ocicommon"},
}
FAMILY = set(ARROWS)


def sources(package: str) -> list[Path]:
    return sorted((PACKAGES / package / "src" / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The absolute names of the modules that a source file imports, at whatever depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_packages_import_only_what_they_stand_on(package: str) -> None:
    for path in sources(package):
        used = {name.split(".")[0] for name in imports(path)} & FAMILY - {package}
        assert used <= ARROWS[package], f"{path} imports {used - ARROWS[package]}"


def test_only_the_image_builder_of_crashcart_imports_smith() -> None:
    users = {
        path.relative_to(PACKAGES / "crashcart/src/crashcart").parts[0]
        for path in sources("crashcart")
        if any(name.split(".")[0] == "smith" for name in imports(path))
    }
    assert users <= {"build"}


def test_only_ocicommon_linux_imports_ctypes() -> None:
    home = PACKAGES / "ocicommon/src/ocicommon/linux"
    users = [
        path
        for package in ARROWS
        for path in sources(package)
        if home not in path.parents and any(name.split(".")[0] in ("ctypes", "_ctypes") for name in imports(path))
    ]
    assert not users


def test_ocicommon_linux_stands_on_the_standard_library_alone() -> None:
    for path in (PACKAGES / "ocicommon/src/ocicommon/linux").rglob("*.py"):
        used = {name for name in imports(path) if name.split(".")[0] in {"pydantic", "typer", *FAMILY}}
        assert all(name.startswith("ocicommon.linux") or name == "ocicommon" for name in used), f"{path}: {used}"


def test_railcar_imports_the_models_only_to_explain() -> None:
    """The models cost 100 ms: only the validator, which `validate` alone loads, may name them at its top level."""
    for path in sources("railcar"):
        if path.name == "validation.py":
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            else:
                continue
            assert not any(name.split(".")[0] == "pydantic" or name == "ocicommon.runtime" for name in names), path


def test_no_file_is_past_its_subject() -> None:
    """450 lines is where a file has two subjects; generated models are no file to read."""
    long = {
        str(path.relative_to(PACKAGES)): count
        for package in ARROWS
        for path in sources(package)
        if "ocicommon/oci" not in str(path) and (count := len(path.read_text().splitlines())) > 450
    }
    assert not long
