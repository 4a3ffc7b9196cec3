"""tools/vm: what is decided about a guest, without one."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from vm import __main__ as command  # noqa: E402
from vm import conformance, job, machine, packages, watch  # noqa: E402
from vm.errors import MachineError  # noqa: E402

LISTED = """\
'http://mirror/pool/b/b_2_amd64.deb' b_2_amd64.deb 300 SHA256:bb
'http://mirror/pool/a/a_1%2b1_all.deb' a_1+1_all.deb 20 MD5Sum:aa
"""


def test_what_apt_would_fetch_is_read_in_order_of_names() -> None:
    found = packages.parse(LISTED)
    assert found == [
        packages.Package("a_1+1_all.deb", 20, "MD5Sum:aa"),
        packages.Package("b_2_amd64.deb", 300, "SHA256:bb"),
    ]
    with pytest.raises(ValueError, match="has no size"):
        packages.parse("'http://mirror/c.deb' c.deb unknown\n")


def test_a_root_is_another_with_other_packages_or_other_files() -> None:
    found = packages.parse(LISTED)
    names = {
        packages.digest(found),
        packages.digest(found[:1]),
        packages.digest(found, b"x"),
        packages.digest(found, b"y"),
    }
    assert len(names) == 4
    assert packages.digest(found, b"x") == packages.digest(packages.parse(LISTED), b"x")


def test_apt_is_asked_without_what_is_installed_here() -> None:
    argv = packages.apt(Path("/empty"), "install", "bash")
    assert "Dir::State::status=/empty/status" in argv
    assert "APT::Install-Recommends=false" in argv
    assert argv[-2:] == ["install", "bash"]


def test_the_machine_forgets_what_it_writes_and_has_three_ports() -> None:
    ports = machine.Ports(Path("/p/console"), Path("/p/output"), Path("/p/report"))
    argv = machine.command(Path("/k"), Path("/r"), Path("/j"), ports, security="selinux", accelerator="tcg")
    drives = [word for word in argv if word.startswith("file=")]
    assert [drive.split(",")[0] for drive in drives] == ["file=/r", "file=/j"]
    assert all("snapshot=on" in drive for drive in drives)
    assert [argv[index + 1] for index, word in enumerate(argv) if word == "-serial"] == [
        f"file:{path}" for path in ports
    ]
    assert argv[argv.index("-append") + 1].endswith("security=selinux")


def test_a_report_may_come_in_pieces() -> None:
    report = watch.Report()
    for piece in (b"beg", b"in\r\nfile junit.xml PHg", b"+\r\nfile broken.txt *\r\nnoise\r\nend 1", b"\r\n"):
        report.feed(piece)
    assert (report.begun, report.code, report.files) == (True, 1, {"junit.xml": b"<x>"})


@pytest.mark.parametrize(
    ("said", "now", "begun_at", "alive", "wanted"),
    [
        (b"", 10, None, True, "wait"),
        (b"", 10, None, False, "stalled"),
        (b"", 101, None, True, "stalled"),
        (b"begin\n", 101, 90, True, "wait"),
        (b"begin\n", 101, 90, False, "died"),
        (b"begin\n", 90 + 300 + 31, 90, True, "hung"),
        (b"begin\nend 0\n", 9999, 90, False, "done"),
    ],
)
def test_when_a_guest_is_waited_for(said: bytes, now: float, begun_at: float | None, alive: bool, wanted: str) -> None:
    report = watch.Report()
    report.feed(said)
    assert watch.verdict(report, watch.Deadlines(100, 300, 30), now, begun_at, alive) == wanted


def test_the_job_runs_at_the_paths_of_this_checkout() -> None:
    told = job.settings(Path("/src"), Path("/env"), ["tests/a", "-k", "b"], 300)
    assert told["mounts"] == {"checkout": "/src", "environment": "/env"}
    argv = told["argv"]
    assert isinstance(argv, list)
    assert "/env/bin/python" in argv
    assert argv[-3:] == ["tests/a", "-k", "b"]


def test_the_public_suite_gets_its_own_arguments() -> None:
    options, rest = command.parse(["--conformance", "/kit", "--systemd", "--rootless", "idmap", "exec.bats"])
    assert options.conformance == Path("/kit")
    told = conformance.settings(rest, 60)
    assert told["argv"] == ["/kit/inside", "--systemd", "--rootless", "idmap", "exec.bats"]


def test_a_directory_without_the_suites_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="has no root with the suites"):
        conformance.disk(tmp_path, tmp_path, conformance.settings([], 60), tmp_path)


def test_options_are_told_from_those_of_pytest() -> None:
    options, rest = command.parse(["--short", "--", "tests/railcar/vm", "-k", "apparmor", "--maxfail=1"])
    assert options.short
    assert rest == ["tests/railcar/vm", "-k", "apparmor", "--maxfail=1"]
    assert command.summary(b'<r><testsuite tests="3" failures="1" errors="0" skipped="1"/></r>').startswith(
        "3 tests, 1 f"
    )
