"""What goes wrong on the first day: one sentence each, with the thing, the value, the way out, and the right code."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from railcar import handshake
from railcar.errors import StepError

# (arguments, exit code, what the one line says); @ is a directory with an empty file in it.
LINES = [
    (["strat"], 3, 'no such command: "strat" (perhaps start or state?); `railcar --help` lists them'),
    (["run", "--bundel", "x", "y"], 1, "run: there is no option --bundel (perhaps --bundle?); `railcar run --help`"),
    (["run"], 1, "run: ID is missing: railcar run [OPTIONS] ID"),
    (["start", "a", "b"], 1, 'start: "b" is one argument too many: railcar start [OPTIONS] ID'),
    (["start", "a/b"], 1, 'invalid container id "a/b": it may hold ASCII letters, digits and the characters'),
    (["run", "--preserve-fds", "x", "y"], 1, '--preserve-fds: "x" is not a whole number'),
    (["--log-format", "xml", "list"], 1, '--log-format is "xml": it can be text or json'),
    (["--rootless", "maybe", "list"], 1, '--rootless is "maybe": it can be true, false or auto'),
    (["--cgroup-manager", "me", "list"], 1, '--cgroup-manager is "me": it can be cgroupfs, systemd or disabled'),
    (["--root", "@", "start", "nope"], 1, 'no container "nope" in @: container does not exist'),
    (["--root", "@", "exec", "nope", "true"], 255, 'no container "nope" in @: container does not exist'),
    (["--root", "@/file", "list"], 1, "cannot list @/file: not a directory"),
    (["list", "--format", "xml"], 1, 'list: --format is "xml": it can be table or json'),
    (
        ["run", "-b", "@", "x"],
        1,
        "no config.json in the bundle @; `railcar spec` writes one: no such file or directory",
    ),
    (["run", "-b", "@/none", "x"], 1, "(@/none is not a directory)"),
    (
        ["run", "-b", "@/file", "x"],
        1,
        "cannot read @/file/config.json: @/file is no directory, as a bundle is: not a directory",
    ),
    (["validate", "@/file"], 1, "cannot read @/file/config.json: not a directory"),
    (["spec", "-b", "@/none"], 1, "cannot write @/none/config.json: no such file or directory"),
    (["man", "nope"], 3, 'no such command: "nope"'),
    (["help", "nope"], 3, 'no such command: "nope"'),
    (["completion", "tcsh"], 1, 'completion: there are none for "tcsh": the shells are bash, zsh, fish'),
]


@pytest.mark.parametrize(("words", "code", "told"), LINES, ids=[" ".join(words) for words, _, _ in LINES])
def test_a_command_line_that_cannot_be(railcar: Path, tmp_path: Path, words: list[str], code: int, told: str) -> None:
    place = tmp_path / "here"
    place.mkdir()
    (place / "file").touch()
    argv = [railcar, *(word.replace("@", str(place)) for word in words)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    (said,) = done.stderr.splitlines()
    assert told.replace("@", str(place)) in said


CONFIGS = [
    (b"", "config.json is not JSON: line 1, column 1: a value is missing"),
    (b'{"a": 1,}', "config.json is not JSON: line 1, column 9: "),
    (b"\xff{}", "config.json is not UTF-8 at byte 0"),
    (b"[]", "config.json: the document is []: it must be an object"),
    (b'{"a": 1, "a": 2}', 'config.json: the key "a" appears twice in one object: remove one of them'),
    (b'{"ociVersion": "2.0.0"}', 'config.json: ociVersion is "2.0.0": railcar knows 1.x'),
    (b'{"ociVersion": "1.2.0"}', 'config.json: "root" is missing: a Linux container needs root.path'),
    (b'{"ociVersion": "1.2.0", "root": {"path": "none"}}', "config.json: root.path is none, and "),
]


@pytest.mark.parametrize(("text", "told"), CONFIGS, ids=[told[12:40] for _, told in CONFIGS])
def test_a_config_that_cannot_be(railcar: Path, tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "config.json").write_bytes(text)
    words = [railcar, "--root", tmp_path / "state", "run", "-b", tmp_path, "x"]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(str(tmp_path))
    assert told in said


def test_an_exec_that_cannot_be(box: Any) -> None:
    box.start()
    for words, told in (
        (["exec", "ID"], "exec: the command is missing: railcar exec [OPTIONS] ID COMMAND..."),
        (["exec", "--user", "www", "ID", "sh"], '--user is "www": it is UID or UID:GID, numbers from 0'),
        (["exec", "--cwd", "x", "ID", "sh"], '--cwd is "x": it must be an absolute path in the container'),
        (["exec", "--cwd", "/nope", "ID", "sh"], "working directory: /nope: no such file or directory"),
        (["exec", "--env", "A", "ID", "sh"], 'process.env holds "A": it must be NAME=VALUE'),
        (["exec", "--process", "/no/file", "ID"], "cannot read the process file /no/file: no such file or directory"),
        (["exec", "-t", "-d", "ID", "sh"], "a terminal needs --console-socket, since this command does not stay"),
        (["exec", "ID", "none"], 'exec: "none" is in no directory of PATH (/bin): executable file not found in $PATH'),
    ):
        done = box.command(*words, check=False)
        assert (done.returncode, done.stdout) == (255, "")
        (said,) = done.stderr.splitlines()
        assert told in said
    box.command("pause", "ID")
    said = box.command("exec", "ID", "sh", check=False).stderr
    assert said == f"cannot exec in a paused container: {box.name}: resume it first, or give --ignore-paused\n"
    box.command("resume", "ID")


def test_a_terminal_that_cannot_be_is_told_every_time(box: Any) -> None:
    """The child may end before it has read what the host's side sent: its error is not lost then."""
    box.start()
    for _ in range(10):
        done = box.command("exec", "-t", "ID", "sh", check=False)
        assert done.returncode == 255
        assert "process.terminal needs a devpts mount on /dev/pts: no such file or directory" in done.stderr


def test_what_the_child_said_is_heard_though_it_left_something_unread() -> None:
    channel = handshake.Channel()
    channel.go(b"never read")
    channel.tell_error(StepError("step", "subject", 2))
    channel.in_host()
    with pytest.raises(StepError, match="step: subject: no such file or directory"):
        channel.hear()
    assert channel.hear() == (b"", b"")


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_full_filesystem_is_named_and_left_as_it_was(box: Any, tmp_path: Path) -> None:
    box.config["process"]["args"] = ["/bin/busybox", "true"]
    box.write()
    (tmp_path / "small").mkdir()
    script = """
    mount -t tmpfs -o size=8k small "$1" && head -c 8k /dev/zero >"$1/filling" || exit 77
    "$2" --root "$1" run -b "$3" "$4"
    echo "code $?"
    ls -A "$1"
    """
    place = tmp_path / "small"
    words = ["unshare", "-m", "sh", "-c", script, "sh", place, box.railcar, box.bundle, box.name]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=100)
    if done.returncode == 77:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
    assert done.stdout.split() == ["code", "1", "filling"]
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"{place}/{box.name}/")
    assert said.endswith(
        ": the filesystem is full: make room, or have the state elsewhere by --root: no space left on device"
    )


def test_what_scripts_read_is_json(box: Any) -> None:
    box.start()
    for words in (
        ["state", "ID"],
        ["list", "--format", "json"],
        ["ps", "--format", "json", "ID"],
        ["events", "--stats", "ID"],
        ["inspect", "--json", "ID"],
        ["features"],
        ["doctor", "--json"],
        ["validate", "--json", str(box.bundle)],
    ):
        assert isinstance(json.loads(box.command(*words, check=False).stdout), dict | list), words
