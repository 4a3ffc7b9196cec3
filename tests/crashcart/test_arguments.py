"""The command line: read up to ID, everything behind it left alone, nonsense refused in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from crashcart.arguments import OPTIONS, parse, user
from crashcart.errors import UsageError


def test_everything_behind_the_id_is_the_command() -> None:
    read = parse(["-v", "web", "tcpdump", "-i", "eth0", "-v"])
    assert (read.target, read.command) == ("web", ["tcpdump", "-i", "eth0", "-v"])
    assert read.image is None
    assert read.verbose


def test_dashes_between_id_and_command_may_be_left_out() -> None:
    assert parse(["web", "--", "ls", "-l"]).command == parse(["web", "ls", "-l"]).command == ["ls", "-l"]
    assert parse(["web", "--", "--"]).command == ["--"]


def test_id_may_follow_dashes() -> None:
    read = parse(["-v", "--", "web", "ls"])
    assert (read.target, read.command) == ("web", ["ls"])


def test_values_are_taken_in_every_spelling() -> None:
    for words in (["-i", "a.img"], ["-ia.img"], ["--image", "a.img"], ["--image=a.img"], ["-vi", "a.img"]):
        assert parse([*words, "web"]).image == "a.img", words


def test_namespaces_are_all_unless_chosen() -> None:
    assert "mnt" in parse(["web"]).namespaces
    assert parse(["--net-only", "web"]).namespaces == ("net",)
    assert parse(["--only", "net,pid", "web"]).namespaces == ("net", "pid")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no container given"),
        ([""], "no container given"),
        (["--", ""], "no container given"),
        (["-m", "-u", "web"], "--mount and --unmount exclude each other"),
        (["-e", "-m", "web"], "exclude each other"),
        (["--nonsense", "web"], "unknown option --nonsense"),
        (["-x", "web"], "unknown option -x"),
        (["-i"], "option -i needs a value"),
        (["--image=", "web"], "not empty"),
        (["--mount=1", "web"], "takes no value"),
        (["--profile", "loose", "web"], "unknown profile 'loose'"),
        (["--only", "net,disk", "web"], "unknown namespace 'disk'"),
        (["-m", "web", "ls"], "takes no command"),
        (["--force", "web"], "--force goes with -u only"),
        (["-i", "a", "--dir", "b", "web"], "exclude each other"),
        (["-U", "root", "web"], "user 'root' is not UID[:GID]"),
    ],
)
def test_nonsense_is_refused_with_exit_code_2(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(words)
    assert said in str(error.value)
    assert error.value.code == 2


@pytest.mark.parametrize(
    "text", ["-1", "1:", ":1", "1:2:3", "4294967295", "4294967296", "1_0", " 7", "\u0661", "0x1", ""]
)
def test_user_is_refused_unless_plain_numbers_of_the_kernels_range(text: str) -> None:
    with pytest.raises(UsageError):
        user(text)


def test_user_alone_is_its_own_group() -> None:
    assert user("5") == (5, 5)
    assert user("5:4294967294") == (5, 4294967294)
    assert user(None) is None


def test_help_tells_every_option(crashcart: Path) -> None:
    done = subprocess.run([str(crashcart), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for option in OPTIONS:
        assert all(name in done.stdout for name in option.names), option.names


def test_wrong_line_says_so_on_standard_error_only(crashcart: Path) -> None:
    done = subprocess.run([str(crashcart), "-m", "-u", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "crashcart: --mount and --unmount exclude each other\n"


def test_every_subcommand_has_help(crashcart: Path) -> None:
    for command in ("list",):
        done = subprocess.run([str(crashcart), command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "Usage" in done.stdout
