"""The table of the specification's features names tests that exist, for every line."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "packages/railcar/docs/checklist.md"
LINES = 154


@pytest.fixture(scope="module")
def rows() -> dict[int, str]:
    if not TABLE.exists():
        pytest.skip("the documentation is not beside the tests")
    found = re.findall(r"^\| (\d+) \| [^|]+ \| (.*) \|$", TABLE.read_text(), re.MULTILINE)
    return {int(number): cell for number, cell in found}


@pytest.fixture(scope="module")
def functions() -> set[str]:
    files = [path for place in (HERE, HERE.parent / "ocicommon") for path in place.rglob("test_*.py")]
    trees = (ast.parse(path.read_text()) for path in files)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_line_is_there_once_and_says_how_it_is_held(rows: dict[int, str]) -> None:
    assert sorted(rows) == list(range(1, LINES + 1))
    assert [number for number, cell in rows.items() if not cell.strip()] == []


def test_every_test_of_the_table_exists(rows: dict[int, str], functions: set[str]) -> None:
    named = {name for cell in rows.values() for name in re.findall(r"`(test_\w+)`", cell)}
    assert sorted(named - functions) == []
