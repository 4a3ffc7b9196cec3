"""Manual pages and completions say what the declarations say."""

import re
import shlex
import shutil
import subprocess

import pytest
from ocicommon.completion import draw
from railcar.cli import completion, man
from railcar.cli.declarations import COMMANDS, GLOBAL
from railcar.cli.examples import EXAMPLES
from railcar.cli.parse import find_command, parse_command

SHOWN = [command for command in COMMANDS if not command.hidden]


def run(railcar, *words):
    return subprocess.run([railcar, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", SHOWN, ids=lambda command: command.name)
def test_every_option_is_on_its_page(command):
    text = man.page(command).replace("\\-", "-")
    assert text.startswith(f".TH RAILCAR-{command.name.upper()} 8")
    for option in command.options:
        assert (f"--{option.name}\\fR" in text) != option.hidden


def test_every_command_and_global_option_is_on_the_first_page(railcar):
    done = run(railcar, "man")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout.replace("\\-", "-")
    for command in SHOWN:
        assert f"\\fB{command.name}\\fR" in text
    for option in GLOBAL:
        assert option.hidden or f"--{option.name}" in text


def test_every_command_has_examples():
    assert set(EXAMPLES) == {"", *(command.name for command in SHOWN)}


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line, _ in lines])
def test_examples_are_command_lines_that_are_understood(line):
    words = shlex.split(line.removeprefix("source <(").removesuffix(")").partition("|")[0])
    assert words[0] == "railcar"
    parse_command(find_command(words[1]), words[2:])


@pytest.mark.parametrize("command", SHOWN, ids=lambda command: command.name)
def test_help_shows_every_option_and_an_example(railcar, command):
    done = run(railcar, command.name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "NAME:"
    assert lines[1].split(None, 3)[:2] == ["railcar", command.name]
    for option in command.options:
        assert (re.search(rf"--{option.name}\b(?!-)", done.stdout) is not None) != option.hidden
    assert f"$ {EXAMPLES[command.name][0][0]}" in " ".join(done.stdout.split())


def test_the_first_page_names_every_command(railcar):
    for words in ((), ("--help",), ("-h",), ("help",)):
        done = run(railcar, *words)
        assert (done.returncode, done.stderr) == (0, "")
        for command in SHOWN:
            assert f"\n  {command.name} " in done.stdout


@pytest.mark.parametrize("name", ["", *(command.name for command in SHOWN)])
def test_pages_are_good_troff(name):
    if not shutil.which("groff"):
        pytest.skip("needs groff")
    text = man.page(next(command for command in SHOWN if command.name == name)) if name else man.overview()
    done = subprocess.run(["groff", "-ww", "-man", "-Tutf8"], input=text, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_unknown_page_is_refused(railcar):
    done = run(railcar, "man", "nonsense")
    assert done.returncode == 3
    assert 'no such command: "nonsense"' in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_name_every_command_and_option(railcar, shell):
    done = run(railcar, "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    for command in SHOWN:
        assert command.name in done.stdout
        for option in command.options:
            if not option.hidden:
                dashes = "-l " if shell == "fish" else "--"
                assert dashes + option.name in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_refused(railcar):
    done = run(railcar, "completion", "tcsh")
    assert done.stderr.strip() == 'completion: there are none for "tcsh": the shells are bash, zsh, fish'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("railcar fea", {"features"}),
        ("railcar list --fo", {"--format"}),
        ("railcar list --format j", {"json"}),
        ("railcar --root /x upd", {"update"}),
        ("railcar --log-format j", {"json"}),
        ("railcar delete --forc", {"--force"}),
        ("railcar delete -f j", set()),
        ("railcar completion f", {"fish"}),
        ("railcar man checkp", {"checkpoint"}),
    ],
)
def test_bash_completes(line, expected):
    if not shutil.which("bash"):
        pytest.skip("needs bash")
    words = line.split()
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        draw("bash", completion.program())
        + f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _railcar; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected
