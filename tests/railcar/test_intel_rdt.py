"""linux.intelRdt against a fake resctrl tree: no machine of ours has the real one."""

import os
import shutil
from pathlib import Path

import pytest
from railcar import rdt
from railcar.errors import RailcarError


@pytest.fixture
def resctrl(tmp_path: Path) -> Path:
    (tmp_path / "schemata").write_text("L3:0=ff\n")
    return tmp_path


def closure(root: Path, name: str, schemata: str = "L3:0=ff\n") -> Path:
    """A directory with the files that the kernel puts into each new one."""
    path = root / name
    (path / "mon_groups").mkdir(parents=True)
    (path / "schemata").write_text(schemata)
    (path / "tasks").write_text("")
    return path


class Resctrl:
    """The os module, but for these two."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        if "mon_groups" not in path:
            os.mkdir(path + "/mon_groups", mode)
        Path(path, "schemata").write_text("")
        Path(path, "tasks").write_text("")

    def rmdir(self, path: str) -> None:
        shutil.rmtree(path)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """mkdir fills a directory as resctrl does, and rmdir takes a filled one away."""
    monkeypatch.setattr(rdt, "os", Resctrl())


def test_line_123_a_closure_of_its_own_comes_and_goes_with_the_container(resctrl, kernel):
    """Checklist 123, 124: without closID the closure has the container's id."""
    plan = rdt.plan({"l3CacheSchema": "L3:0=f"}, "box", str(resctrl))
    rdt.create(plan, 77)
    assert (resctrl / "box/schemata").read_text() == "L3:0=f\n"
    assert (resctrl / "box/tasks").read_text() == "77\n"
    rdt.remove(plan.record())
    assert not (resctrl / "box").exists()


def test_line_123_a_named_closure_is_shared_and_stays(resctrl, kernel):
    """Checklist 123."""
    closure(resctrl, "gold", "L3:0=f\n")
    plan = rdt.plan({"closID": "gold"}, "box", str(resctrl))
    rdt.create(plan, 77)
    rdt.remove(plan.record())
    assert (resctrl / "gold/tasks").read_text() == "77\n"


def test_line_123_a_named_closure_alone_must_exist(resctrl, kernel):
    """Checklist 123."""
    with pytest.raises(RailcarError, match="does not exist, and no schemata are given"):
        rdt.create(rdt.plan({"closID": "gold"}, "box", str(resctrl)), 77)


def test_line_123_other_schemata_than_asked_are_refused(resctrl, kernel):
    """Checklist 123."""
    closure(resctrl, "gold", "L3:0=1\n")
    with pytest.raises(RailcarError, match="exists with other schemata"):
        rdt.create(rdt.plan({"closID": "gold", "l3CacheSchema": "L3:0=f"}, "box", str(resctrl)), 77)


def test_line_124_and_125_both_older_fields_are_written(resctrl):
    """Checklist 124, 125: memory bandwidth lines in the cache's field give way to the field of their own."""
    plan = rdt.plan({"l3CacheSchema": "L3:0=f\nMB:0=90", "memBwSchema": "MB:0=20"}, "box", str(resctrl))
    assert plan.lines == ["L3:0=f", "MB:0=20"]


@pytest.mark.parametrize(
    "given",
    [
        {"l3CacheSchema": "MX:0=f"},
        {"memBwSchema": "L3:0=f"},
        {"schemata": "L3:0=f"},
        {"closID": "../x"},
        {"closID": ""},
    ],
)
def test_lines_123_to_126_bad_values_are_one_sentence(given):
    """Checklist 123 to 126."""
    with pytest.raises(RailcarError, match=r"linux\.intelRdt"):
        rdt.plan(given, "box")


def test_line_126_schemata_are_written_as_they_stand(resctrl, kernel):
    """Checklist 126."""
    plan = rdt.plan({"closID": "new", "schemata": ["L3:0=3", "L2:0=1"]}, "box", str(resctrl))
    rdt.create(plan, 77)
    assert plan.lines == ["L3:0=3", "L2:0=1"]
    assert (resctrl / "new").exists()


def test_line_127_a_monitoring_group(resctrl, kernel):
    """Checklist 127."""
    closure(resctrl, "gold")
    plan = rdt.plan({"closID": "gold", "enableMonitoring": True}, "box", str(resctrl))
    rdt.create(plan, 77)
    assert (resctrl / "gold/mon_groups/box/tasks").read_text() == "77\n"
    rdt.remove(plan.record())
    assert not (resctrl / "gold/mon_groups/box").exists()
    assert (resctrl / "gold").exists()


def test_without_resctrl_the_error_says_how_to_have_it(tmp_path):
    with pytest.raises(RailcarError, match="which is not mounted: the CPU must have RDT"):
        rdt.create(rdt.plan({"l3CacheSchema": "L3:0=f"}, "box", str(tmp_path)), 77)


def test_a_failure_leaves_nothing(resctrl):
    """The fake tree has no files in new directories: the first write fails."""
    with pytest.raises(RailcarError, match=r"linux\.intelRdt"):
        rdt.create(rdt.plan({"l3CacheSchema": "L3:0=f"}, "box", str(resctrl)), 77)
    assert not (resctrl / "box").exists()
