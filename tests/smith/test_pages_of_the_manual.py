"""What README.md and the pages of docs/ show works as it stands."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from smith import config

PACKAGE = Path(__file__).parents[2] / "packages/smith"
PAGES = [PACKAGE / "README.md", *sorted((PACKAGE / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines after a prompt, without their remarks."""
    text = "".join(blocks(page, "console"))
    return [line[2:].partition("  #")[0].strip() for line in text.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_smith_yaml_is_understood(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert config.parse(text, file=page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_each_command_and_option_is_known(run_smith: Any) -> None:
    """Of all commands in all pages: those in the text as well as those after a prompt."""
    known: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text()
        words = [*re.findall(r"`smith ([a-z]+)((?: [^`]*)?)`", text)]
        words += re.findall(r"^\$ smith ([a-z]+)(.*)$", text, re.MULTILINE)
        for name, rest in words:
            if name not in known:
                known[name] = run_smith(name, "--help").stdout
            for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", re.split(r" #| -- |&&|\|", rest)[0]):
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", known[name]), f"{page.name}: smith {name} {option}"
    assert len(known) > 8


@pytest.mark.root
def test_the_first_container_of_the_readme(run_smith: Any, railcar: Path) -> None:
    """Up to a running server, by railcar; what needs docker or a package index is left out."""
    if not os.path.exists("/usr/bin/apt-get"):
        pytest.skip("needs a Debian system, whose sources are used")
    lines = [line for line in commands(PACKAGE / "README.md") if not line.startswith(("pip ", "docker "))]
    assert [line.split()[0] for line in lines] == ["smith", "smith"]
    probe = subprocess.run(
        [run_smith.command, "--preset", "nginx", "-i", "probe.tar"], cwd=run_smith.folder, env=run_smith.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if probe.returncode:
        pytest.skip(f"the machine's sources do not give nginx: {probe.stderr[-300:]}")
    name = f"web-{os.getpid()}"
    state = run_smith.folder / "state"
    tools = {"smith": f'"{run_smith.command}"', "railcar": f'"{railcar}" --root {state}', "sudo": ""}
    own = "".join(f'{tool}() {{ {words} "$@"; }}\n' for tool, words in tools.items())
    # The page runs the server in the foreground: here it is created only.
    text = "\n".join(lines).replace(
        "railcar run --bundle bundle web", f"railcar create --bundle bundle {name} >log 2>&1"
    )
    assert name in text
    try:
        done = subprocess.run(
            ["bash", "-e", "-c", own + text], cwd=run_smith.folder, env=run_smith.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        log = run_smith.folder / "log"
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
        said = subprocess.run([railcar, "--root", state, "state", name], capture_output=True, text=True, check=True)
        assert '"created"' in said.stdout
    finally:
        subprocess.run(
            [railcar, "--root", state, "delete", "--force", name], capture_output=True, check=False, timeout=120
        )
