"""linux.resources on cgroup v1, as writes: no kernel is asked."""

import pytest
from railcar import cgroups
from railcar.errors import RailcarError


def planned(layout, resources):
    """file -> value of the plan, with the controller before the file's colon."""
    plan = cgroups.plan(layout, "box", "/box", resources)
    return {f"{write.controller}:{write.choices[-1][0]}": write.choices[-1][1] for write in plan.writes}


CASES = [
    (92, {"memory": {"limit": 1 << 30}}, {"memory:memory.limit_in_bytes": "1073741824"}),
    (93, {"memory": {"reservation": 4096}}, {"memory:memory.soft_limit_in_bytes": "4096"}),
    (94, {"memory": {"swap": 1 << 30}}, {"memory:memory.memsw.limit_in_bytes": "1073741824"}),
    (95, {"memory": {"kernel": 8192}}, {"memory:memory.kmem.limit_in_bytes": "8192"}),
    (96, {"memory": {"kernelTCP": 8192}}, {"memory:memory.kmem.tcp.limit_in_bytes": "8192"}),
    (97, {"memory": {"swappiness": 0}}, {"memory:memory.swappiness": "0"}),
    (98, {"memory": {"disableOOMKiller": True}}, {"memory:memory.oom_control": "1"}),
    (98, {"memory": {"disableOOMKiller": False}}, {}),
    (99, {"memory": {"useHierarchy": True}}, {"memory:memory.use_hierarchy": "1"}),
    (101, {"cpu": {"shares": 512}}, {"cpu:cpu.shares": "512"}),
    (102, {"cpu": {"quota": 50000}}, {"cpu:cpu.cfs_quota_us": "50000"}),
    (102, {"cpu": {"quota": -1}}, {"cpu:cpu.cfs_quota_us": "-1"}),
    (103, {"cpu": {"period": 100000}}, {"cpu:cpu.cfs_period_us": "100000"}),
    (104, {"cpu": {"burst": 0}}, {"cpu:cpu.cfs_burst_us": "0"}),
    (105, {"cpu": {"realtimeRuntime": 950000}}, {"cpu:cpu.rt_runtime_us": "950000"}),
    (106, {"cpu": {"realtimePeriod": 1000000}}, {"cpu:cpu.rt_period_us": "1000000"}),
    (107, {"cpu": {"cpus": "0-1"}}, {"cpuset:cpuset.cpus": "0-1"}),
    (108, {"cpu": {"mems": "0"}}, {"cpuset:cpuset.mems": "0"}),
    (109, {"cpu": {"idle": 1}}, {"cpu:cpu.idle": "1"}),
    (110, {"blockIO": {"weight": 500}}, {"blkio:blkio.weight": "500"}),
    (111, {"blockIO": {"leafWeight": 300}}, {"blkio:blkio.leaf_weight": "300"}),
    (
        112,
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 100, "leafWeight": 50}]}},
        {"blkio:blkio.weight_device": "8:0 100", "blkio:blkio.leaf_weight_device": "8:0 50"},
    ),
    (
        113,
        {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}]}},
        {"blkio:blkio.throttle.read_bps_device": "8:0 600"},
    ),
    (
        114,
        {"blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 16, "rate": 1}]}},
        {"blkio:blkio.throttle.write_bps_device": "8:16 1"},
    ),
    (
        115,
        {"blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}]}},
        {"blkio:blkio.throttle.read_iops_device": "8:16 300"},
    ),
    (
        116,
        {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}]}},
        {"blkio:blkio.throttle.write_iops_device": "8:16 300"},
    ),
    (
        117,
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]},
        {"hugetlb:hugetlb.2MB.limit_in_bytes": "4194304", "hugetlb:hugetlb.2MB.rsvd.limit_in_bytes": "4194304"},
    ),
    (118, {"network": {"classID": 1048577}}, {"net_cls:net_cls.classid": "1048577"}),
    (119, {"network": {"priorities": [{"name": "lo", "priority": 5}]}}, {"net_prio:net_prio.ifpriomap": "lo 5"}),
    (120, {"pids": {"limit": 32}}, {"pids:pids.max": "32"}),
    (120, {"pids": {"limit": -1}}, {"pids:pids.max": "max"}),
    (120, {"pids": {"limit": 0}}, {"pids:pids.max": "1"}),
    (
        121,
        {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}},
        {"rdma:rdma.max": "mlx5_1 hca_handle=3 hca_object=10000"},
    ),
]


@pytest.mark.parametrize(
    ("line", "resources", "expected"), CASES, ids=[f"line_{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_lines_92_to_121_on_v1(v1, line, resources, expected):
    """Checklist 92 to 121, one field in each case: a plan, since this needs no kernel that has the controller."""
    assert planned(v1, resources) == expected


def test_line_122_unified_is_for_v2(v1):
    """Checklist 122: unified on v1 alone is refused, and not silently left out."""
    with pytest.raises(RailcarError, match="unified is for cgroup v2"):
        planned(v1, {"unified": {"memory.high": "1"}})


def test_line_110_weights_have_two_file_names(v1):
    """Checklist 110: the first of the names that the kernel has is written."""
    (write,) = cgroups.plan(v1, "box", "/box", {"blockIO": {"weight": 10}}).writes
    assert [file for file, _ in write.choices] == ["blkio.bfq.weight", "blkio.weight"]


def test_small_memory_limits_and_pids_wait_for_ready(v1):
    writes = cgroups.plan(v1, "box", "/box", {"memory": {"limit": 1 << 20}, "pids": {"limit": 1}}).writes
    assert all(write.late for write in writes)
    (write,) = cgroups.plan(v1, "box", "/box", {"memory": {"limit": 1 << 30}}).writes
    assert not write.late


def test_no_limit_for_memory_lifts_the_one_for_swap_too(v1):
    assert planned(v1, {"memory": {"limit": -1}})["memory:memory.memsw.limit_in_bytes"] == "-1"


def test_zeros_of_engines_mean_unset(v1):
    zeros = {
        "memory": {"limit": 0, "swap": 0, "reservation": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
        "pids": None,
    }
    assert planned(v1, zeros) == {}


def test_a_missing_controller_is_named(hybrid):
    lacking = cgroups.layout.parse("32 31 0:29 / /c/cpu rw - cgroup cgroup rw,cpu\n", "1:cpu:/\n")
    with pytest.raises(
        RailcarError, match=r"linux\.resources\.memory\.limit needs the memory controller.*there are: cpu"
    ):
        planned(lacking, {"memory": {"limit": 1 << 30}})


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": []},
        {"memory": {"limit": "1G"}},
        {"memory": {"limit": True}},
        {"memory": {"limit": 1 << 70}},
        {"cpu": {"cpus": 3}},
        {"cpu": {"cpus": "0\n1"}},
        {"blockIO": {"weightDevice": {}}},
        {"blockIO": {"throttleReadBpsDevice": [{"rate": 3}]}},
        {"hugepageLimits": [{"pageSize": "../../x", "limit": 3}]},
        {"devices": [{"type": "c"}]},
        {"devices": [{"allow": True, "type": "z"}]},
    ],
)
def test_wrong_types_are_one_sentence(v1, resources):
    with pytest.raises(RailcarError, match=r"linux\.resources"):
        planned(v1, resources)


def test_a_letter_of_no_access_is_left_out_with_a_warning(v1):
    rule = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rwa"}
    made = cgroups.plan(v1, "box", "/box", {"devices": [rule]})
    assert ("devices.allow", "c 1:11 rw") in made.device_lines
    assert any("access 'rwa'" in warning for warning in made.warnings)


def test_hybrid_takes_hugetlb_from_the_unified_hierarchy(hybrid):
    """Checklist 117 on a hybrid machine, and 122 for the controllers that are there."""
    found = planned(hybrid, {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "pids": {"limit": 3}})
    assert found == {"unified:hugetlb.2MB.max": "0", "unified:hugetlb.2MB.rsvd.max": "0", "pids:pids.max": "3"}
    assert planned(hybrid, {"unified": {"hugetlb.1GB.max": "0"}}) == {"unified:hugetlb.1GB.max": "0"}


def test_line_90_device_rules_in_their_order(v1):
    """Checklist 90: deny everything, the listed rules, then what every container may use."""
    resources = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": True, "type": "b", "access": "m"},
        ]
    }
    lines = cgroups.plan(v1, "box", "/box", resources).device_lines
    assert lines[:3] == [("devices.deny", "a"), ("devices.allow", "c 10:229 rw"), ("devices.allow", "b *:* m")]
    assert ("devices.allow", "c 1:3 rwm") in lines
    assert ("devices.allow", "c 136:* rwm") in lines


def test_line_90_allow_all_needs_no_exceptions(v1):
    """Checklist 90."""
    assert cgroups.plan(v1, "box", "/box", {"devices": [{"allow": True}]}).device_lines == [("devices.allow", "a")]
