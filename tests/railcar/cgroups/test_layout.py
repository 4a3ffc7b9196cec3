"""Which hierarchies there are, and where the group of a container lies in them."""

import pytest
from railcar import cgroups
from railcar.cgroups import paths
from railcar.errors import RailcarError


def test_modes_are_told_apart(v1, hybrid, v2):
    assert (v1.mode, hybrid.mode, v2.mode) == ("v1", "hybrid", "v2")
    assert cgroups.layout.parse("", "").mode == "none"


def test_controllers_mounted_together_share_a_directory(v1):
    where = paths.cgroupfs(v1, "/box", "id")
    assert where["cpu"] == where["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/box"
    assert where["name=systemd"] == "/sys/fs/cgroup/systemd/box"


def test_memory_is_joined_last(v1):
    assert list(paths.cgroupfs(v1, "/box", "id"))[-1] == "memory"


def test_a_mount_on_top_hides_what_lies_below():
    text = (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "50 31 0:41 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    )
    layout = cgroups.layout.parse(text, "1:cpu:/\n0::/\n")
    assert layout.mode == "v2"
    assert layout.unified.mount == "/sys/fs/cgroup"


def test_a_mount_whose_root_is_a_group():
    text = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
    layout = cgroups.layout.parse(text, "1:cpu:/docker/abc/inner\n")
    assert layout.hierarchies[0].path("box") == "/sys/fs/cgroup/cpu/inner/box"
    assert cgroups.layout.parse(text, "1:cpu:/elsewhere\n").hierarchies[0].path("box") == "/sys/fs/cgroup/cpu/box"


def test_escaped_mount_points():
    layout = cgroups.layout.parse("1 0 0:1 / /a\\040b rw - cgroup2 cgroup2 rw\n", "0::/\n")
    assert layout.unified.mount == "/a b"


def test_line_86_absolute_and_relative_paths(v1, v2):
    """Checklist 86: an absolute path starts at the hierarchy's root, a relative one at the runtime's own group."""
    assert paths.cgroupfs(v1, "/a/b", "id")["memory"] == "/sys/fs/cgroup/memory/a/b"
    assert paths.cgroupfs(v1, "a/b", "id")["memory"] == "/sys/fs/cgroup/memory/job/one/a/b"
    assert paths.cgroupfs(v1, "", "id")["memory"] == "/sys/fs/cgroup/memory/job/one/id"
    assert paths.cgroupfs(v2, "/a/b", "id")["unified"] == "/sys/fs/cgroup/a/b"
    assert paths.cgroupfs(v2, "a", "id")["unified"] == "/sys/fs/cgroup/user.slice/a"


@pytest.mark.parametrize("path", ["/", "/..", "/a/../..", "..", "/a\nb"])
def test_paths_that_name_no_group_are_refused(v2, path):
    with pytest.raises(RailcarError, match="cgroupsPath"):
        paths.cgroupfs(cgroups.layout.parse("1 0 0:1 / /c rw - cgroup2 c rw\n", "0::/\n"), path, "id")


def test_dots_never_leave_the_hierarchy(v1):
    assert paths.cgroupfs(v1, "/../../etc", "id")["pids"] == "/sys/fs/cgroup/pids/etc"
    assert paths.cgroupfs(v1, "../../../../etc", "id")["memory"] == "/sys/fs/cgroup/memory/etc"


@pytest.mark.parametrize(
    ("path", "name", "group"),
    [
        ("", "railcar-box.scope", "/system.slice/railcar-box.scope"),
        ("machine.slice:libpod:box", "libpod-box.scope", "/machine.slice/libpod-box.scope"),
        ("a-b-c.slice:docker:x", "docker-x.scope", "/a.slice/a-b.slice/a-b-c.slice/docker-x.scope"),
        (":pre:x", "pre-x.scope", "/system.slice/pre-x.scope"),
        ("-.slice::x", "x.scope", "/x.scope"),
        ("a.slice::a-pod.slice", "a-pod.slice", "/a.slice/a-pod.slice"),
    ],
)
def test_line_87_names_of_the_systemd_driver(path, name, group):
    """Checklist 87: slice:prefix:name."""
    unit = paths.unit(path, "box", rootless=False)
    assert (unit.name, unit.group) == (name, group)


def test_line_87_rootless_units_lie_in_the_user_slice():
    """Checklist 87."""
    assert paths.unit("", "box", rootless=True).slice == "user.slice"


@pytest.mark.parametrize(
    "path", ["/abs/path", "a:b", "a:b:c:d", "x.slice:p:", "bad:p:n", "a--b.slice:p:n", "x.slice:p:a/b"]
)
def test_line_87_bad_names_are_refused(path):
    """Checklist 87."""
    with pytest.raises(RailcarError, match=r"linux\.cgroupsPath"):
        paths.unit(path, "box", rootless=False)
