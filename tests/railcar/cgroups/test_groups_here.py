"""Real groups in this machine's v1 hierarchies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from railcar import cgroups
from railcar.cgroups import driver
from railcar.cgroups.create import create
from railcar.cgroups.update import update
from railcar.errors import RailcarError

pytestmark = pytest.mark.root


def value(group, controller, file):
    return Path(group.paths[controller], file).read_text().strip()


def test_a_group_is_made_and_removed_in_every_hierarchy(here, name):
    """Checklist 86."""
    group = create(cgroups.plan(here, name, "/" + name, {}))
    assert all(os.path.isdir(path) for path in group.paths.values())
    assert len(group.task_fds) == len({path for key, path in group.paths.items() if key != "unified"})
    driver.destroy(cgroups.from_record(group.record()))
    group.close()
    assert not any(os.path.exists(path) for path in group.paths.values())


def test_parents_that_were_made_go_with_the_group(here, name):
    group = create(cgroups.plan(here, name, f"/{name}/a/b", {}))
    driver.destroy(group)
    assert not any(os.path.exists(os.path.join(hierarchy.mount, name)) for hierarchy in here.hierarchies)


LIMITS = [
    (92, {"memory": {"limit": 128 << 20}}, "memory", "memory.limit_in_bytes", str(128 << 20)),
    (93, {"memory": {"reservation": 64 << 20}}, "memory", "memory.soft_limit_in_bytes", str(64 << 20)),
    (
        94,
        {"memory": {"limit": 128 << 20, "swap": 256 << 20}},
        "memory",
        "memory.memsw.limit_in_bytes",
        str(256 << 20),
    ),
    (95, {"memory": {"kernel": 64 << 20}}, "memory", "memory.kmem.limit_in_bytes", None),
    (96, {"memory": {"kernelTCP": 64 << 20}}, "memory", "memory.kmem.tcp.limit_in_bytes", str(64 << 20)),
    (97, {"memory": {"swappiness": 10}}, "memory", "memory.swappiness", "10"),
    (99, {"memory": {"useHierarchy": True}}, "memory", "memory.use_hierarchy", "1"),
    (99, {"memory": {"useHierarchy": False}}, "memory", "memory.use_hierarchy", None),
    (101, {"cpu": {"shares": 512}}, "cpu", "cpu.shares", "512"),
    (102, {"cpu": {"quota": 50000, "period": 100000}}, "cpu", "cpu.cfs_quota_us", "50000"),
    (103, {"cpu": {"quota": 50000, "period": 200000}}, "cpu", "cpu.cfs_period_us", "200000"),
    (104, {"cpu": {"burst": 5000, "quota": 50000, "period": 100000}}, "cpu", "cpu.cfs_burst_us", "5000"),
    (106, {"cpu": {"realtimePeriod": 500000}}, "cpu", "cpu.rt_period_us", "500000"),
    (107, {"cpu": {"cpus": "0"}}, "cpuset", "cpuset.cpus", "0"),
    (108, {"cpu": {"mems": "0"}}, "cpuset", "cpuset.mems", "0"),
    (109, {"cpu": {"idle": 1}}, "cpu", "cpu.idle", "1"),
    (120, {"pids": {"limit": 20}}, "pids", "pids.max", "20"),
    (120, {"pids": {"limit": -1}}, "pids", "pids.max", "max"),
    (120, {"pids": {"limit": 0}}, "pids", "pids.max", "1"),
]


@pytest.mark.parametrize(
    ("line", "resources", "controller", "file", "expected"),
    LIMITS,
    ids=[f"line_{c[0]}-{i}" for i, c in enumerate(LIMITS)],
)
def test_lines_92_to_120_reach_the_kernel(here, name, line, resources, controller, file, expected):
    """Checklist 92 to 94, 97, 99, 101 to 104, 107 to 109, 120 on this kernel."""
    bare = create(cgroups.plan(here, name, "/" + name, {}))
    there = controller in bare.paths and os.path.exists(f"{bare.paths[controller]}/{file}")
    driver.destroy(bare)
    if not there:
        pytest.skip(f"this kernel has no {file} on cgroup v1")
    group = create(cgroups.plan(here, name, "/" + name, resources))
    try:
        driver.apply_late(group)
        # None: this kernel takes the value, and makes nothing of it.
        assert expected in (None, value(group, controller, file))
    finally:
        driver.destroy(group)


def test_line_105_realtime_runtime(here, name):
    """Checklist 105: as far as the groups above leave some."""
    hierarchy = here.controller("cpu")
    if hierarchy is None or not os.path.exists(hierarchy.path("") + "/cpu.rt_runtime_us"):
        pytest.skip("this kernel has no realtime scheduling of groups")
    if int(Path(hierarchy.path(""), "cpu.rt_runtime_us").read_text()) < 1000:
        pytest.skip("the groups above have no realtime bandwidth to give")
    group = create(cgroups.plan(here, name, "/" + name, {"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 1000000}}))
    assert value(group, "cpu", "cpu.rt_runtime_us") == "1000"


THROTTLES = [
    (113, "throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
    (114, "throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
    (115, "throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
    (116, "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
]


@pytest.mark.parametrize(("line", "key", "file"), THROTTLES, ids=[f"line_{entry[0]}" for entry in THROTTLES])
def test_lines_113_to_116_throttles_reach_the_kernel(here, name, line, key, file):
    """Checklist 113 to 116, on a disk of this machine."""
    hierarchy = here.controller("blkio")
    disks = sorted(path for path in Path("/sys/block").glob("*/dev") if int((path.parent / "size").read_text()))
    if hierarchy is None or not os.path.exists(f"{hierarchy.mount}/{file}") or not disks:
        pytest.skip(f"no disk, or no {file}")
    number = disks[0].read_text().strip()
    major, minor = number.split(":")
    entry = {"major": int(major), "minor": int(minor), "rate": 1 << 20}
    group = create(cgroups.plan(here, name, "/" + name, {"blockIO": {key: [entry]}}))
    assert value(group, "blkio", file) == f"{number} {1 << 20}"


def test_line_110_the_weight_reaches_the_kernel(here, name):
    """Checklist 110: under whichever of its names this kernel has."""
    if here.controller("blkio") is None:
        pytest.skip("no v1 blkio controller")
    bare = create(cgroups.plan(here, name, "/" + name, {}))
    files = [file for file in ("blkio.bfq.weight", "blkio.weight") if os.path.exists(f"{bare.paths['blkio']}/{file}")]
    driver.destroy(bare)
    if not files:
        pytest.skip("this kernel has no weight for block devices")
    group = create(cgroups.plan(here, name, "/" + name, {"blockIO": {"weight": 300}}))
    assert value(group, "blkio", files[0]) in ("300", "default 300")


def test_line_98_the_oom_killer_is_switched_off(here, name):
    """Checklist 98."""
    if here.controller("memory") is None:
        pytest.skip("no v1 memory controller")
    group = create(cgroups.plan(here, name, "/" + name, {"memory": {"disableOOMKiller": True}}))
    assert "oom_kill_disable 1" in value(group, "memory", "memory.oom_control")


def test_line_90_device_rules_reach_the_kernel(here, name):
    """Checklist 90."""
    if here.controller("devices") is None:
        pytest.skip("no v1 devices controller")
    rules = [{"allow": False}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]
    group = create(cgroups.plan(here, name, "/" + name, {"devices": rules}))
    lines = value(group, "devices", "devices.list").splitlines()
    assert "c 10:229 rw" in lines
    assert "c 1:3 rwm" in lines
    assert "a *:* rwm" not in lines


def test_limits_rise_and_fall_together(here, name):
    """Checklist 92, 94: memory and swap need the other's room, in an order that depends on the direction."""
    if (
        here.controller("memory") is None
        or not Path(here.controller("memory").mount, "memory.memsw.limit_in_bytes").exists()
    ):
        pytest.skip("no v1 memory controller with swap accounting")
    group = create(cgroups.plan(here, name, "/" + name, {"memory": {"limit": 128 << 20, "swap": 128 << 20}}))
    for size in (512 << 20, 64 << 20):
        update(group, {"memory": {"limit": size, "swap": size}})
        assert value(group, "memory", "memory.limit_in_bytes") == str(size)
        assert value(group, "memory", "memory.memsw.limit_in_bytes") == str(size)
    update(group, {"memory": {"limit": -1}})
    assert int(value(group, "memory", "memory.limit_in_bytes")) > 1 << 50


def test_line_100_check_before_update(here, name, sleeper):
    """Checklist 100: a limit under the usage is refused, and the old one stays."""
    if here.controller("memory") is None:
        pytest.skip("no v1 memory controller")
    group = create(cgroups.plan(here, name, "/" + name, {"memory": {"limit": 1 << 30}}))
    child = (
        "import os\nfor fd in map(int, os.environ['FDS'].split()): os.write(fd, b'0')\n"
        "block = bytearray(8 << 20)\nprint('ready', flush=True)\ninput()"
    )
    environment = {"FDS": " ".join(map(str, group.task_fds))}
    with subprocess.Popen(
        [sys.executable, "-ISc", child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=group.task_fds,
        env=environment,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(RailcarError, match="exceeds the new limit"):
            update(group, {"memory": {"limit": 1 << 20, "checkBeforeUpdate": True}})
        assert value(group, "memory", "memory.limit_in_bytes") == str(1 << 30)
        process.kill()


def test_a_child_joins_by_its_own_tasks_files(here, name, sleeper):
    group = create(cgroups.plan(here, name, "/" + name, {}))
    child = (
        "import os\nfor fd in map(int, os.environ['FDS'].split()): os.write(fd, b'0')\n"
        "print('ready', flush=True)\ninput()"
    )
    environment = {"FDS": " ".join(map(str, group.task_fds))}
    with subprocess.Popen(
        [sys.executable, "-ISc", child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=group.task_fds,
        env=environment,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        assert group.pids() == [process.pid]
        lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
        assert all(line.endswith("/" + name) for line in lines if not line.startswith("0::"))
        group.kill()
        assert process.wait(60) == -9


def test_a_group_in_use_is_refused(here, name, sleeper):
    group = create(cgroups.plan(here, name, "/" + name, {}))
    group.add(sleeper())
    with pytest.raises(RailcarError, match=r"container's cgroup is not empty: 1 process\(es\) found"):
        create(cgroups.plan(here, name, "/" + name, {}))
    assert group.exists()
    group.kill()


def test_a_frozen_group_is_refused(here, name):
    if here.controller("freezer") is None:
        pytest.skip("no v1 freezer controller")
    group = create(cgroups.plan(here, name, "/" + name, {}))
    group.freeze()
    with pytest.raises(RailcarError, match="container's cgroup unexpectedly frozen"):
        create(cgroups.plan(here, name, "/" + name, {}))


def test_freeze_thaw_and_kill_of_a_frozen_group(here, name, sleeper):
    if here.controller("freezer") is None:
        pytest.skip("no v1 freezer controller")
    group = create(cgroups.plan(here, name, "/" + name, {}))
    pid = sleeper()
    group.add(pid)
    assert not group.frozen()
    group.freeze()
    assert group.frozen()
    group.thaw()
    assert not group.frozen()
    group.freeze()
    group.kill()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    driver.destroy(group)
    assert not group.exists()


def test_deeply_nested_groups_are_removed(here, name):
    """A container may nest groups until no path is long enough to name them."""
    group = create(cgroups.plan(here, name, "/" + name, {}))
    path = group.paths["pids"] if "pids" in group.paths else next(iter(group.paths.values()))
    descriptor = os.open(path, os.O_RDONLY)
    depth = 0
    try:
        for _ in range(1200):
            try:
                os.mkdir("nested", dir_fd=descriptor)
            except OSError:
                break
            following = os.open("nested", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
            depth += 1
    finally:
        os.close(descriptor)
    assert depth > 1
    driver.destroy(group)
    assert not group.exists()


def test_a_failure_leaves_no_group(here, name):
    with pytest.raises(RailcarError, match=r"cpuset\.cpus for linux\.resources\.cpu\.cpus"):
        create(cgroups.plan(here, name, f"/{name}/inner", {"cpu": {"cpus": "4000"}}))
    assert not any(os.path.exists(os.path.join(hierarchy.mount, name)) for hierarchy in here.hierarchies)
