"""The manual page and the completions say what the declarations say."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from crashcart import arguments, manual


def run(*words: str | Path, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, **keywords)  # type: ignore[call-overload,no-any-return]


def test_page_has_every_option_and_subcommand(crashcart: Path) -> None:
    done = run(crashcart, "man")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout.replace("\\-", "-")
    for option in arguments.OPTIONS:
        assert all(f"\\fB{name}\\fR" in text for name in option.names)
        assert option.help in text
    for name in (*arguments.SUBCOMMANDS, "--preset", "--platform", "--json"):
        assert name in text
    if shutil.which("man"):
        shown = run(
            "man", "-l", "-", input=done.stdout, env={"LC_ALL": "C", "MANPAGER": "cat", "PATH": "/usr/bin:/bin"}
        )
        assert "EXIT STATUS" in shown.stdout


@pytest.mark.parametrize("line", [line for line, _ in manual.EXAMPLES])
def test_examples_are_command_lines_that_are_understood(line: str) -> None:
    name, *words = shlex.split(line)
    assert name == "crashcart"
    if words[0] not in arguments.SUBCOMMANDS:
        assert arguments.parse(words).target == "web"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_a_script_of_their_shell(shell: str, crashcart: Path, tmp_path: Path) -> None:
    done = run(crashcart, "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("profile", "build", "preset", "net-only"))
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.stdout)
        assert run(shell, "-n", tmp_path / "script").returncode == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("crashcart --pro", "--profile"),
        ("crashcart --profile st", "strict"),
        ("crashcart bui", "build"),
        ("crashcart build --pre", "--preset"),
        ("crashcart -i x.img --net", "--net-only"),
    ],
)
def test_bash_completes(line: str, expected: str, crashcart: Path, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "script").write_text(run(crashcart, "completion", "bash").stdout)
    words = shlex.join(line.split())
    script = f"""
. {tmp_path}/script
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_crashcart
echo "${{COMPREPLY[@]}}"
"""
    assert expected in run("bash", "-c", script).stdout.split()


def test_shell_without_completions_is_one_sentence(crashcart: Path) -> None:
    done = run(crashcart, "completion", "tcsh")
    assert done.returncode == 2
    assert done.stderr == "crashcart: no completions for 'tcsh': there are those for bash, zsh, fish\n"
