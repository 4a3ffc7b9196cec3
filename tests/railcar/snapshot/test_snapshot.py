"""A start from the snapshot is as one of the interpreter, and whatever does not fit goes the slow way."""

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

VERSION = "railcar version 0.1.0"
SLOW = 99


def test_second_start_as_root_makes_it_for_root_alone(prefix: Any) -> None:
    assert prefix("--version").returncode == 0
    assert not prefix.snapshot.exists()
    assert prefix("--version").returncode == 0
    if not (prefix.snapshot / "railcar").exists():
        pytest.skip((prefix.snapshot / "record").read_text().splitlines()[1])
    assert prefix.snapshot.stat().st_mode & 0o777 == 0o700
    modes = {path.name.partition(".")[0]: path.stat().st_mode & 0o777 for path in prefix.snapshot.iterdir()}
    assert modes == {"railcar": 0o700, "image": 0o600, "record": 0o600}
    assert prefix.restored("--version").stdout.startswith(VERSION)


def test_arguments_and_environment_arrive_as_they_are(made: Any, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path) + b"/caf\xc3\xa9 \xff" + b"x" * 200
    fast = subprocess.run([*made.program("--root", "X", "state", "a")[:9], b"--root", root, "state", "a"],
                          capture_output=True, check=False, timeout=120)  # fmt: skip
    slow = made("--root", os.fsdecode(root), "state", "a", text=False, env={"RAILCAR_SNAPSHOT": "0"})
    assert (fast.returncode, fast.stderr) == (slow.returncode, slow.stderr)
    assert root in fast.stderr
    trace = tmp_path / "trace"
    for environment in ({"RAILCAR_TRACE": str(trace)}, {"A": "b" * 100_000, "RAILCAR_TRACE": str(trace)}):
        assert made.restored("--root", tmp_path, "delete", "--force", "a", env=environment).returncode == 0
        assert trace.exists()
        trace.unlink()
    assert made.restored("--root", tmp_path, "delete", "--force", "a", env={}).returncode == 0
    assert not trace.exists()


def test_closed_streams_are_no_obstacle(made: Any) -> None:
    script = 'exec "$@" --version 0<&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *made.program()], stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 0
    assert done.stdout.startswith(VERSION.encode())
    done = subprocess.run(["sh", "-c", 'exec "$@" state nosuch >&-', "sh", *made.program()], stderr=subprocess.PIPE,
                          check=False, timeout=120)  # fmt: skip
    assert done.returncode == 1


@pytest.mark.parametrize("wrapper", [["setarch", "-R"], ["sh", "-c", 'ulimit -s unlimited; exec "$@"', "sh"],
                                     ["sh", "-c", 'ulimit -s 256; exec "$@"', "sh"], ["nohup"], ["timeout", "100"],
                                     ["env", "-i"]])  # fmt: skip
def test_other_layouts_and_callers_are_no_obstacle(made: Any, wrapper: list[str]) -> None:
    if not shutil.which(wrapper[0]):
        pytest.skip(f"{wrapper[0]} is not installed")
    done = subprocess.run([*wrapper, *made.program("--version")], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=120)  # fmt: skip
    assert done.stdout.startswith(VERSION), done


def test_start_after_start_comes_from_it(made: Any) -> None:
    """Where the kernel puts stack and vdso by chance, it may collide; that is rare, and then slow but right."""
    codes = [made.restored("--version").returncode for _ in range(60)]
    assert set(codes) <= {0, SLOW}
    assert codes.count(SLOW) <= 2


def test_clock_is_the_kernel_s(made: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    before = time.monotonic_ns()
    made.restored("--root", tmp_path, "--trace", trace, "run", "--bundle", tmp_path, "a")
    after = time.monotonic_ns()
    for line in trace.read_text().splitlines():
        span = json.loads(line)
        assert before <= span["end_ns"] <= after
        assert span["took_us"] * 1000 <= after - before


@pytest.mark.parametrize("ignored", [False, True])
def test_signals_are_as_the_interpreter_has_them(made: Any, tmp_path: Path, ignored: bool) -> None:
    """SIGPIPE and SIGXFSZ are ignored; SIGINT has a handler, unless the caller ignores it."""
    os.mkfifo(tmp_path / "config.json")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        argv = made.program("--root", tmp_path, "create", "--bundle", tmp_path, "a")
        child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    # It waits in the opening of the FIFO until somebody writes.
    with open(tmp_path / "config.json", "wb"):
        status = Path(f"/proc/{child.pid}/status").read_text()
        masks = {line[:6]: int(line.split()[1], 16) for line in status.splitlines() if line[:6] in ("SigIgn", "SigCgt")}
    child.wait(timeout=120)
    bits = {number: 1 << (number - 1) for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)}
    assert masks["SigIgn"] & bits[signal.SIGPIPE]
    assert masks["SigIgn"] & bits[signal.SIGXFSZ]
    assert bool(masks["SigIgn"] & bits[signal.SIGINT]) == ignored
    assert bool(masks["SigCgt"] & bits[signal.SIGINT]) != ignored


def test_a_caller_that_uses_posix_spawn_is_served(made: Any) -> None:
    """glibc's posix_spawn has the child begin with the C library's own signals ignored, which nobody may set."""
    argv = made.program("--version")
    child = os.posix_spawn(argv[0], argv, {})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("limit", [resource.RLIMIT_DATA, resource.RLIMIT_AS])
def test_a_caller_with_little_room_gets_the_interpreter(made: Any, limit: int) -> None:
    """Whether the picture and the command have room cannot be known before, and there is no way back later."""
    program = made.program("--version")
    argv = ["/bin/sh", "-c", f'ulimit -S -{"d" if limit == resource.RLIMIT_DATA else "v"} 60000 && exec "$@"', "sh"]
    assert subprocess.run([*argv, *program], check=False).returncode == 99
    done = subprocess.run([*argv, made.command, "--version"], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_refusal_is_reconsidered_after_an_hour(made: Any) -> None:
    """What was in the way may have passed, and nobody would think of `railcar setup`."""
    record = made.snapshot / "record"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], "the disk was full", *lines[2:]]) + "\n")
    (made.snapshot / "railcar").unlink()
    made("--version")
    assert record.read_text().splitlines()[1] == "the disk was full"
    assert "the disk was full" in made("doctor").stdout
    past = time.time() - 3700
    os.utime(record, (past, past))
    made("--version")
    assert record.read_text().splitlines()[1] == "made"


def test_a_copied_installation_has_nothing_of_the_first(made: Any, tmp_path: Path) -> None:
    """Its files may become others, and those of the first as well."""
    copy = made.copied(tmp_path / "copy")
    assert copy.restored("--version").returncode == 99
    assert "none was made yet" in copy("doctor").stdout
    copy("--version")
    copy("--version")
    assert copy.restored("--version").returncode == 0
    record = (copy.snapshot / "record").read_text()
    assert str(copy.site) in record
    assert str(made.site) not in record
    assert made.restored("--version").returncode == 0


def test_variable_and_options_turn_it_off(made: Any) -> None:
    assert "snapshot" in made("doctor").stdout
    made("setup", "--no-snapshot")
    assert not (made.snapshot / "railcar").exists()
    made("--version")
    made("--version")
    assert [path.name for path in made.snapshot.iterdir()] == ["off"]
    made("setup")
    assert (made.snapshot / "railcar").exists()
    made("setup", "--remove")
    assert not made.snapshot.exists()
    made("--version", env={"RAILCAR_SNAPSHOT": "0"})
    assert not made.snapshot.exists()
    made("--version")
    assert (made.snapshot / "railcar").exists()


def test_another_installation_goes_the_slow_way_and_makes_another(made: Any) -> None:
    main = made.site / "railcar/cli/main.py"
    main.write_text(main.read_text().replace("railcar version {", "railcar version new {"))
    assert made.restored("--version").returncode == SLOW
    for _ in range(3):
        assert made("--version").stdout.startswith("railcar version new")
    assert made.restored("--version").stdout.startswith("railcar version new")
    assert len(list(made.snapshot.glob("image.*"))) == 1


def spoil(prefix: Any, how: str) -> None:
    image = next(prefix.snapshot.glob("image.*"))
    program = prefix.snapshot / "railcar"
    if how == "gone":
        image.unlink()
    elif how == "cut":
        os.truncate(image, 4096)
    elif how == "touched":
        os.utime(image)
    elif how == "boot":
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
        program.write_bytes(program.read_bytes().replace(boot, boot[::-1]))
    else:
        for link in prefix.command.parent.glob("python3.*"):
            link.unlink()
            link.symlink_to("/bin/true")


@pytest.mark.parametrize("how", ["gone", "cut", "touched", "boot"])
def test_whatever_does_not_fit_goes_the_slow_way(made: Any, how: str) -> None:
    spoil(made, how)
    assert made.restored("--version").returncode == SLOW
    assert made("--version").stdout.startswith(VERSION)


def test_another_interpreter_is_not_taken_for_the_pictured_one(made: Any) -> None:
    spoil(made, "interpreter")
    assert made.restored("--version").returncode == 0, "true, which was executed"
    assert made.restored("--version").stdout == ""


def test_address_space_that_is_too_small_goes_the_slow_way(made: Any) -> None:
    prlimit = shutil.which("prlimit")
    if not prlimit:
        pytest.skip("prlimit is not installed")
    argv = [prlimit, "--as=15000000", *made.program("--version")]
    argv[3] = "/bin/true"
    done = subprocess.run(argv, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0
    assert done.stdout == b""


def test_two_at_once_make_one(prefix: Any) -> None:
    prefix("--version")
    children = [subprocess.Popen([prefix.command, "--version"], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [child.wait(timeout=120) for child in children] == [0] * 4
    assert len(list(prefix.snapshot.glob("image.*"))) == len(list(prefix.snapshot.glob("railcar*"))) <= 1
    assert prefix("--version").stdout.startswith(VERSION)


@pytest.mark.parametrize("options", ["size=1m", "size=40m,noexec", "ro"])
def test_places_that_cannot_have_it_start_as_before(prefix: Any, options: str) -> None:
    """A full disk, one that executes nothing, one that cannot be written."""
    prefix("--version")
    cache = prefix.snapshot.parent
    script = (
        'mount -t tmpfs -o "$1" none "$2" && for n in 1 2 3; do "$3" --version || exit 1; done; '
        'ls "$2/snapshot/railcar" 2>&-; true'
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", options, cache, prefix.command],
                          capture_output=True, text=True, check=False, timeout=120)  # fmt: skip
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("no mounts can be made here")
    assert done.stdout.count(VERSION) == 3, done.stderr
    assert done.stderr == ""
    if options == "ro":
        assert "snapshot" not in done.stdout.replace(str(prefix.snapshot), "")


def test_other_users_start_as_before(open_prefix: Any) -> None:
    done = open_prefix("--version", user=65534, group=65534, extra_groups=[])
    assert done.stdout.startswith(VERSION), done.stderr
