"""An update that gives a part takes the other part from what is in force."""

from pathlib import Path
from typing import Any

import pytest
from railcar import specimen
from railcar.cgroups import properties, v2
from railcar.cgroups.group import Group
from railcar.cgroups.paths import Unit
from railcar.cgroups.update import update, with_bandwidth, with_idleness
from railcar.errors import RailcarError
from railcar.plan import container


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "cpu.max").write_text("500000 1000000\n")
    (tmp_path / "cpu.idle").write_text("1\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("cpu", "rate", "period"),
    [({"period": 900000}, 560_000, 900000), ({"quota": 600000}, 600_000, 1000000), ({"quota": -1}, None, 1000000)],
)
def test_systemd_is_told_quota_and_period_together(
    path: str, cpu: dict[str, int], rate: int | None, period: int
) -> None:
    whole = with_bandwidth(Group("v2", {"unified": path}, []), {"cpu": cpu})
    told = dict(properties.limits(whole, "v2"))
    assert told["CPUQuotaPeriodUSec"] == ("t", period)
    assert told["CPUQuotaPerSecUSec"] == ("t", properties.INFINITY if rate is None else rate)


def test_on_v1_they_are_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    group = Group("v1", {"cpu": str(tmp_path)}, [])
    assert with_bandwidth(group, {"cpu": {"period": 200000}}) == {"cpu": {"period": 200000, "quota": 50000}}


@pytest.mark.parametrize(
    ("memory", "name"),
    [({"limit": 4096}, "memory limit"), ({"limit": 1 << 20, "swap": 8192}, r"memory\+swap limit")],
)
def test_line_100_neither_limit_may_be_under_the_usage(tmp_path: Path, memory: dict[str, int], name: str) -> None:
    (tmp_path / "memory.current").write_text("65536\n")
    group = Group("v2", {"unified": str(tmp_path)}, [])
    with pytest.raises(RailcarError, match=f"rejecting {name}"):
        update(group, {"memory": {**memory, "checkBeforeUpdate": True}})


@pytest.mark.parametrize(
    ("resources", "written"),
    [
        ({"cpu": {"shares": 200}}, [("cpu.idle", "0"), ("cpu.weight", "16")]),
        ({"cpu": {"shares": 200, "idle": 1}}, [("cpu.idle", "1")]),
        ({"unified": {"cpu.weight": "8"}}, [("cpu.idle", "0"), ("cpu.weight", "8")]),
        ({"unified": {"cpu.idle": "1", "cpu.weight": "8"}}, [("cpu.idle", "1")]),
    ],
)
def test_line_109_a_weight_ends_idleness_unless_both_are_given(
    path: str, resources: dict[str, Any], written: list[tuple[str, str]]
) -> None:
    found = [tuple(map(str, write.choices[0])) for write in v2.writes(with_idleness(path, resources))]
    assert [name for name, _ in found] == [name for name, _ in written]
    assert found[0] == written[0]
    both = "idle" in resources.get("cpu", {}) or "cpu.idle" in resources.get("unified", {})
    assert any("unable to apply both" in warning for warning in v2.warnings(resources)) == both
    assert ("CPUWeight" in dict(properties.limits(resources, "v2"))) != both


def test_under_systemd_the_quota_is_one_that_it_can_express(path: str) -> None:
    group = Group(
        "v2",
        {"unified": path},
        [],
    )
    group.unit = Unit("x.scope", "system.slice")
    assert with_bandwidth(group, {"cpu": {"period": 900000}}) == {"cpu": {"quota": 504000, "period": 900000}}


def test_line_89_a_group_goes_to_a_root_that_may_write_to_it() -> None:
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup"}
    assert container._writable([mount])
    assert not container._writable([{**mount, "options": ["nosuid", "ro"]}, {"destination": "/proc", "type": "proc"}])


def test_a_rootless_specimen_shows_its_own_cgroup_where_it_has_the_namespace() -> None:
    for own in (True, False):
        made = specimen.rootless(specimen.config("1.3.0", own), 1000, 1000)
        assert ("/sys/fs/cgroup" in [mount["destination"] for mount in made["mounts"]]) == own
