"""The completions that are drawn from a program's description, as the shells themselves take them."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from ocicommon.completion import SHELLS, Command, Option, Program, draw

PROGRAM = Program(
    "lorry",
    (Option(("--root", "-r"), "Where it's [kept]: here", "DIR", takes="directory"), Option(("--help", "-h"), "Help")),
    (
        Command(
            "load",
            "Put something on",
            (
                Option(("--how", "-w"), "Way", "HOW", ("gently", "quickly")),
                Option(("--list",), "File", "FILE", takes="file"),
                Option(("--heavy",), "A switch, said twice", repeated=True),
            ),
            target=True,
        ),
        Command("colour", "Paint it", (), choices=("red", "green")),
        Command("look", "Read a file", (), takes="file"),
    ),
    "list --quiet",
    passed=("--root", "-r"),
    target=True,
)
LINES = [
    ("lorry loa", {"load"}),
    ("lorry --ro", {"--root"}),
    ("lorry load --how g", {"gently"}),
    ("lorry load --he", {"--heavy"}),
    ("lorry load first-t", {"first-thing"}),
    ("lorry colour gr", {"green"}),
    ("lorry look some-f", {"some-file"}),
    ("lorry --root there loa", {"load"}),
]


@pytest.fixture
def place(tmp_path):
    """A directory with the program, which names two things, and a file."""
    program = tmp_path / "lorry"
    program.write_text('#!/bin/sh\n[ "$*" = "list --quiet" ] && printf "first-thing\\nsecond-thing\\n"\n')
    program.chmod(0o755)
    (tmp_path / "some-file").touch()
    return tmp_path


def environment(place):
    return {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(place), "TERM": "dumb", "LC_ALL": "C"}


def needs(shell):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_its_shell(shell, place):
    needs(shell)
    done = subprocess.run([shell, "-n"], input=draw(shell, PROGRAM), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_bash_completes(line, expected, place):
    needs("bash")
    words = line.split()
    script = draw("bash", PROGRAM) + f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _lorry; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment(place), capture_output=True, text=True, check=True
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


def test_bash_passes_on_where_things_are_kept(place):
    needs("bash")
    (place / "lorry").write_text('#!/bin/sh\n[ "$*" = "--root there list --quiet" ] && echo far-thing\n')
    script = (
        draw("bash", PROGRAM) + "COMP_WORDS=(lorry --root there load fa); COMP_CWORD=4; _lorry; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment(place), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["far-thing"]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_fish_completes(line, expected, place):
    needs("fish")
    (place / "lorry.fish").write_text(draw("fish", PROGRAM))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source lorry.fish; complete -C '{line}'"],
        cwd=place, env=environment(place), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == expected


class Terminal:
    """A shell on a terminal of its own: type, and wait for what it shows."""

    def __init__(self, argv, place):
        ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=environment(place), start_new_session=True
        )
        os.close(theirs)
        self.descriptor, self.shown = ours, ""

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, text):
        """Wait until it has shown this; what was shown before that is forgotten."""
        end = time.monotonic() + 120
        while text not in self.shown:
            assert time.monotonic() < end, self.shown
            if select.select([self.descriptor], [], [], 1)[0]:
                self.shown += os.read(self.descriptor, 4096).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)


@pytest.fixture
def zsh(place):
    needs("zsh")
    (place / "_lorry").write_text(draw("zsh", PROGRAM))
    terminal = Terminal(["zsh", "-f", "-i"], place)
    terminal.type(
        "PS1=''; unsetopt zle_bracketed_paste prompt_cr prompt_sp; fpath=($PWD $fpath); autoload -Uz compinit\n"
    )
    # Written with quotes, so that the echo of the line is not the answer to it.
    terminal.type("compinit -u -D && print -r -- all''ready\n")
    terminal.wait_for("allready")
    yield terminal
    terminal.close()


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_zsh_completes(line, expected, zsh):
    """The word is completed on the line, and the line, executed, shows it."""
    (word,) = expected
    zsh.type('function lorry { [[ "$*" = "list --quiet" ]] && print -l first-thing second-thing || print "<$*>"; }; '
             "print -r -- de''fined\n")  # fmt: skip
    zsh.wait_for("defined")
    zsh.type(f"{line}\t\n")
    begin = line.removeprefix("lorry ").rpartition(" ")[0]
    zsh.wait_for(f"<{begin} {word}>" if begin else f"<{word}>")
