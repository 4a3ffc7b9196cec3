"""linux.resources on cgroup v2, as writes, with the conversions: no kernel is asked."""

import pytest
from railcar import cgroups
from railcar.cgroups.v2 import cpu_weight, io_weight
from railcar.errors import RailcarError


def planned(layout, resources):
    return [write.choices[-1] for write in cgroups.plan(layout, "box", "/box", resources).writes]


CASES = [
    (92, {"memory": {"limit": 1 << 30}}, [("memory.max", "1073741824")]),
    (92, {"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
    (93, {"memory": {"reservation": 4096}}, [("memory.low", "4096")]),
    (
        94,
        {"memory": {"limit": 1 << 30, "swap": 3 << 30}},
        [("memory.swap.max", str(2 << 30)), ("memory.max", str(1 << 30))],
    ),
    (94, {"memory": {"limit": 1 << 30, "swap": -1}}, [("memory.swap.max", "max"), ("memory.max", str(1 << 30))]),
    (101, {"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
    (102, {"cpu": {"quota": 50000}}, [("cpu.max", "50000")]),
    (102, {"cpu": {"quota": -1, "period": 50000}}, [("cpu.max", "max 50000")]),
    (103, {"cpu": {"quota": 50000, "period": 200000}}, [("cpu.max", "50000 200000")]),
    (104, {"cpu": {"burst": 5000}}, [("cpu.max.burst", "5000")]),
    (107, {"cpu": {"cpus": "0-1"}}, [("cpuset.cpus", "0-1")]),
    (108, {"cpu": {"mems": "0"}}, [("cpuset.mems", "0")]),
    (109, {"cpu": {"idle": 1, "shares": 1024}}, [("cpu.idle", "1")]),
    (109, {"cpu": {"idle": 0, "shares": 1024}}, [("cpu.idle", "0"), ("cpu.weight", "100")]),
    (110, {"blockIO": {"weight": 1000}}, [("io.weight", "default 10000")]),
    (112, {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}, [("io.weight", "8:0 1")]),
    (113, {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 6}]}}, [("io.max", "8:0 rbps=6")]),
    (114, {"blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 6}]}}, [("io.max", "8:0 wbps=6")]),
    (115, {"blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 6}]}}, [("io.max", "8:0 riops=6")]),
    (
        116,
        {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}},
        [("io.max", "8:0 wiops=max")],
    ),
    (
        117,
        {"hugepageLimits": [{"pageSize": "1GB", "limit": 0}]},
        [("hugetlb.1GB.max", "0"), ("hugetlb.1GB.rsvd.max", "0")],
    ),
    (120, {"pids": {"limit": 32}}, [("pids.max", "32")]),
    (120, {"pids": {"limit": -1}}, [("pids.max", "max")]),
    (120, {"pids": {"limit": 0}}, [("pids.max", "1")]),
    (121, {"rdma": {"mlx": {"hcaObjects": 5}}}, [("rdma.max", "mlx hca_object=5")]),
    (122, {"unified": {"memory.high": "1073741824"}}, [("memory.high", "1073741824")]),
    (122, {"unified": {"io.max": "8:0 rbps=1\n8:16 rbps=2"}}, [("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2")]),
]


@pytest.mark.parametrize(
    ("line", "resources", "expected"), CASES, ids=[f"line_{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_lines_92_to_122_on_v2(v2, line, resources, expected):
    """Checklist 88 and 92 to 122, one field in each case: a plan, since it needs no kernel with the controllers on
    v2."""
    assert planned(v2, resources) == expected


@pytest.mark.parametrize(
    ("line", "resources"),
    [
        (95, {"memory": {"kernel": 1}}),
        (96, {"memory": {"kernelTCP": 1}}),
        (97, {"memory": {"swappiness": 10}}),
        (98, {"memory": {"disableOOMKiller": True}}),
        (99, {"memory": {"useHierarchy": True}}),
        (105, {"cpu": {"realtimeRuntime": 1}}),
        (106, {"cpu": {"realtimePeriod": 1}}),
        (111, {"blockIO": {"leafWeight": 10}}),
        (118, {"network": {"classID": 1}}),
        (119, {"network": {"priorities": [{"name": "lo", "priority": 1}]}}),
    ],
)
def test_fields_without_a_counterpart_are_told(v2, line, resources):
    """Checklist 95 to 99, 105, 106, 111, 118, 119 on v2: a warning that names the field, and no write."""
    plan = cgroups.plan(v2, "box", "/box", resources)
    ((part, fields),) = resources.items()
    assert plan.writes == []
    assert [f"linux.resources.{part}.{next(iter(fields))}" in text for text in plan.warnings] == [True]


def test_line_101_the_weight_runs_through_minimum_default_and_maximum():
    """Checklist 101."""
    assert [cpu_weight(shares) for shares in (0, 2, 1024, 262144, 1 << 40)] == [1, 1, 100, 10000, 10000]
    weights = [cpu_weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


def test_line_110_weights_of_block_devices():
    """Checklist 110."""
    assert (io_weight(10), io_weight(1000)) == (1, 10000)


@pytest.mark.parametrize("memory", [{"swap": 1 << 30}, {"limit": 1 << 30, "swap": 1 << 20}])
def test_line_94_a_swap_that_makes_no_sense_is_refused(v2, memory):
    """Checklist 94."""
    with pytest.raises(RailcarError, match=r"linux\.resources\.memory\.swap"):
        planned(v2, {"memory": memory})


@pytest.mark.parametrize("unified", [{"../x.max": "1"}, {"memory.max": 1}, {"memory": "1"}])
def test_line_122_only_control_files_are_written(v2, unified):
    """Checklist 122."""
    with pytest.raises(RailcarError, match="unified"):
        planned(v2, {"unified": unified})


def test_line_88_devices_become_a_program(v2):
    """Checklist 88, 91: cgroup v2 has one directory, no device files, and a program instead."""
    plan = cgroups.plan(v2, "box", "/box", {})
    assert list(plan.paths) == ["unified"]
    assert plan.device_lines == []
    assert len(plan.device_program) % 8 == 0
    assert plan.device_program


def test_line_89_ownership_is_for_v2_alone(v1, v2):
    """Checklist 89."""
    assert cgroups.plan(v1, "box", "/box", {}, owner=(1000, 1000)).owner is None
    assert cgroups.plan(v2, "box", "/box", {}, owner=(1000, 1000)).owner == (1000, 1000)


def test_a_limit_is_not_lost_by_the_case_of_its_name(v2):
    resources = {"CPU": {"Cpus": "0"}, "hugepageLimits": [{"pagesize": "2MB", "limit": 1}], "Pids": {"LIMIT": 5}}
    written = dict(write.choices[0] for write in cgroups.plan(v2, "box", "/box", resources).writes)
    assert [written[file] for file in ("cpuset.cpus", "hugetlb.2MB.max", "pids.max")] == ["0", "1", "5"]
