"""Options of `railcar update`, `events` and `ps` as values, without a container."""

import pytest
from railcar.cli import events, ps, update
from railcar.cli.parse import find_command, parse_command
from railcar.errors import RailcarError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("64k", 65536), ("64M", 64 << 20), ("2GiB", 2 << 30), ("2gb", 2 << 30), ("-1", -1), ("5B", 5)],
)
def test_sizes(text, expected):
    assert update.size(text, "--memory") == expected


@pytest.mark.parametrize("text", ["", "M", "1x", "1.5G", "--1", "1_0", "٣"])
def test_bad_sizes_are_refused(text):
    with pytest.raises(RailcarError, match="--memory"):
        update.size(text, "--memory")


def test_options_become_resources():
    words = "--memory 64M --memory-swap=-1 --cpu-quota 5000 --cpuset-cpus 0-1 --pids-limit -1 --blkio-weight 10 box"
    arguments = parse_command(find_command("update"), words.split())
    assert update.from_options(arguments) == {
        "memory": {"limit": 64 << 20, "swap": -1},
        "cpu": {"quota": 5000, "cpus": "0-1"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 10},
    }


def test_merging_keeps_what_is_not_named():
    old = {"memory": {"limit": 5, "swap": 6}, "pids": {"limit": 3}}
    assert update.merged(old, {"memory": {"limit": 7, "swap": 0}, "cpu": {"shares": 2}}) == {
        "memory": {"limit": 7, "swap": 6},
        "pids": {"limit": 3},
        "cpu": {"shares": 2},
    }


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("100ms", 0.1), ("1m", 60.0), ("2h", 7200.0)])
def test_intervals(text, seconds):
    assert events.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0s", "-1s", "5", "s", "1.5s", "abc"])
def test_bad_intervals_are_refused(text):
    with pytest.raises(RailcarError, match="--interval"):
        events.duration(text)


def test_ps_selects_by_its_pid_column():
    text = "USER   PID COMMAND\nroot     1 init\nroot    11 1\nroot   111 x\n"
    assert ps.select(text, {11}) == "USER   PID COMMAND\nroot    11 1\n"
    with pytest.raises(RailcarError, match="no PID column"):
        ps.select("COMMAND\nx\n", {1})
