"""podman of a user: the same table of actions with subordinate ids, and a life with no more ids than the user's own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import Engine, entered, held
from engine_support.actions import RUN, PodmanActions

# Nobody's on any machine: the user is made for the test, in files that only its mount namespace sees.
USER, FIRST, COUNT = 54321, 600000, 65536


def configuration(runtime: str) -> str:
    return f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "tried"
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["tried"]
[engine.runtimes]
tried = ["{runtime}"]
"""


def made(runtime: str, rootfs: Path, home: Path, alone: bool) -> Iterator[Engine]:
    for program in ("podman", "conmon", "setpriv", "nsenter", *(() if alone else ("newuidmap",))):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    (home / "run").mkdir(parents=True, mode=0o700)
    (home / "containers.conf").write_text(configuration(runtime))
    shutil.copy(rootfs, home / "rootfs.tar")
    binds = {}
    lines = {
        "passwd": f"railcar-test:x:{USER}:{USER}::{home}:/bin/sh\n",
        "group": f"railcar-test:x:{USER}:\n",
        "subuid": "" if alone else f"railcar-test:{FIRST}:{COUNT}\n",
        "subgid": "" if alone else f"railcar-test:{FIRST}:{COUNT}\n",
    }
    for name, line in lines.items():
        place = Path("/etc") / name
        if not place.exists():
            pytest.skip(f"there is no {place} to put the user's into, for this test alone")
        (home / name).write_text(line if name.startswith("sub") else place.read_text() + line)
        binds[home / name] = str(place)
    for path in (home, home / "run", home / "rootfs.tar", home / "containers.conf"):
        os.chown(path, USER, USER)
    environment = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "PATH": os.environ["PATH"],
        "CONTAINERS_CONF": str(home / "containers.conf"),
        "TERM": "xterm",
    }
    with held(home, network=False, binds=binds) as holder:
        user = [*entered(holder, home), "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        if Engine([*user, runtime], environment, home)("--version").returncode:
            pytest.skip("the installed command lies where another user may not go")
        argv = [
            *user,
            "podman",
            "--root",
            f"{home}/root",
            "--runroot",
            f"{home}/run/storage",
            "--storage-driver",
            "vfs",
        ]
        engine = Engine([*argv, "--log-level", "error"], environment, home, holder)
        done = engine("import", "--change", "ENV=PATH=/bin", "rootfs.tar", "box")
        if done.returncode:
            pytest.skip(f"podman does not work without root here: {done.stderr[-400:]}")
        yield engine
        engine("rm", "--all", "--force", "--time", "0")
        # Its process that holds the user namespace ends.
        engine("system", "migrate")


@pytest.fixture(scope="module")
def engine(runtime: str, rootfs: Path, place: Path) -> Iterator[Engine]:
    """With a range of subordinate ids."""
    yield from made(runtime, rootfs, place / "home", alone=False)


@pytest.fixture(scope="module")
def alone(runtime: str, rootfs: Path, place: Path) -> Iterator[Engine]:
    """With no ids but the user's own."""
    yield from made(runtime, rootfs, place / "alone", alone=True)


class TestRootless(PodmanActions):
    shared = "rprivate"
    limits = False
    # podman 4.3 without root at times says 0 after an exec on a terminal, under runc too.
    loses_exit_codes = True


def test_ids_are_those_of_the_range(engine: Engine) -> None:
    said = engine.ok(*RUN, "box", "cat", "/proc/self/uid_map").split()
    assert said == ["0", str(USER), "1", "1", str(FIRST), str(COUNT)]


def test_keep_id(engine: Engine) -> None:
    """--userns=keep-id: a user namespace of the container's own, in podman's."""
    said = engine.ok(
        *RUN, "--userns", "keep-id", "box", "sh", "-c", "id -u; echo token >/dev/shm/x; cat /dev/shm/x"
    ).split()
    assert said == [str(USER), "token"]


def test_the_hosts_cgroups_are_read_only(engine: Engine, runtime: str) -> None:
    """CVE-2023-25809: without a cgroup namespace, the tree in /sys is the host's."""
    if Path(runtime).name == "runc":
        pytest.skip("runc binds the host's tree writable where cgroups are v1 beside v2, and railcar does not")
    script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/made 2>/dev/null && echo made in $d; done; echo end"
    assert engine.ok(*RUN, "--cgroupns", "host", "box", "sh", "-c", script) == "end"


def test_one_id(alone: Engine) -> None:
    command = ("sh", "-c", "id -u; cat /proc/self/uid_map; echo token >/tmp/x; cat /tmp/x")
    assert alone.ok(*RUN, "box", *command).split() == ["0", "0", str(USER), "1", "token"]


def test_one_id_life(alone: Engine) -> None:
    name = alone.start()
    assert alone.ok("exec", name, "echo", "in") == "in"
    alone.ok("kill", name)
    alone.ok("rm", "--force", "--time", "0", name)
