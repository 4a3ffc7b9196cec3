"""Layouts as texts, and groups on this machine that are always removed."""

import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from railcar import cgroups
from railcar.cgroups import driver

V1 = (
    """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
34 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
36 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
37 31 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio
38 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
39 31 0:37 / /sys/fs/cgroup/net_cls,net_prio rw - cgroup cgroup rw,net_cls,net_prio
40 31 0:38 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb
41 31 0:39 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma
42 31 0:40 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
""",
    """\
11:rdma:/
10:hugetlb:/
9:name=systemd:/
8:pids:/
7:net_cls,net_prio:/
6:blkio:/
5:freezer:/
4:devices:/
3:memory:/job/one
2:cpuset:/
1:cpu,cpuacct:/
""",
)
UNIFIED_LINE = "43 31 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
V2 = ("29 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/user.slice/session-1.scope\n")
CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma"


@pytest.fixture
def v1() -> cgroups.layout.Layout:
    return cgroups.layout.parse(*V1)


@pytest.fixture
def hybrid() -> cgroups.layout.Layout:
    mountinfo = "".join(line + "\n" for line in V1[0].splitlines() if "hugetlb" not in line) + UNIFIED_LINE
    groups = "".join(line + "\n" for line in V1[1].splitlines() if "hugetlb" not in line) + "0::/\n"
    return cgroups.layout.parse(mountinfo, groups, "hugetlb")


@pytest.fixture
def v2() -> cgroups.layout.Layout:
    return cgroups.layout.parse(*V2, CONTROLLERS)


@pytest.fixture
def name() -> str:
    """A group's name that no other test has."""
    return f"railcar-test-{uuid.uuid4().hex[:12]}"


def _writable(layout: cgroups.layout.Layout) -> bool:
    mounts = [hierarchy.mount for hierarchy in layout.hierarchies]
    return bool(mounts) and os.geteuid() == 0 and all(os.access(mount, os.W_OK) for mount in mounts)


@pytest.fixture
def here(name: str) -> Iterator[cgroups.layout.Layout]:
    """This machine's own layout, with v1 hierarchies that root may write; the test's group is removed afterwards."""
    layout = cgroups.layout.find()
    if not _writable(layout):
        pytest.skip("needs root and writable cgroup v1 hierarchies")
    yield layout
    driver.destroy(cgroups.from_record(cgroups.plan(layout, name, "/" + name, {}).record()))


@pytest.fixture
def sleeper() -> Iterator[Callable[[], int]]:
    """Starts processes that wait for the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        process = subprocess.Popen(
            [sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def pure_v2(tmp_path: Path, name: str) -> Callable[[str], str]:
    """Runs a Python text in a private mount namespace where /sys/fs/cgroup is cgroup v2; gives its output.

    In the text, ``layout`` is what railcar finds there, ``name`` the test's own group, ``controllers`` what the
    kernel offers.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount cgroup2 in a private namespace")
    probe = "unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup'"
    if subprocess.run(probe, shell=True, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not mount cgroup2 in a private mount namespace")

    def run(text: str) -> str:
        head = f"""
            import os, sys
            from railcar import cgroups
            from railcar.cgroups import driver
            from railcar.cgroups.create import create
            layout = cgroups.layout.find()
            name = {name!r}
            controllers = layout.unified_controllers
        """
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(head) + textwrap.dedent(text))
        command = (
            "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && "
            f'{sys.executable} "{script}"; code=$?; '
            f"find /sys/fs/cgroup/{name} -depth -type d -exec rmdir {{}} ';' 2>/dev/null; exit $code"
        )
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run
