"""The code blocks of docs/engines.md."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[4] / "packages/railcar/docs/engines.md"
INSTALLED = "/usr/local/bin/railcar"


def blocks(language: str, containing: str) -> list[str]:
    """The page's code blocks in a language that contain a text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in found if containing in block]


def block(language: str, containing: str) -> str:
    [found] = blocks(language, containing)
    return found


def command(containing: str, runtime: str) -> list[str]:
    """The words of a command line after its engine's name."""
    [line] = [line for line in PAGE.read_text().splitlines() if line[:2] in ("$ ", "# ") and containing in line]
    return shlex.split(line[2:].replace(INSTALLED, runtime))[1:]
