"""What a mount of type cgroup becomes."""

from railcar.cgroups.mounts import mounts_for

MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}


def test_line_42_v2_is_one_bind_of_the_own_group():
    """Checklist 42: railcar's part of a mount of type cgroup."""
    (mount,) = mounts_for("v2", {"unified": "/sys/fs/cgroup/box"}, MOUNT)
    assert mount["source"] == "/sys/fs/cgroup/box"
    assert {"bind", "ro", "nosuid", "nodev", "noexec"} <= set(mount["options"])


def test_line_42_v1_is_a_tree_of_binds():
    """Checklist 42."""
    paths = {
        "cpu": "/c/x/box",
        "cpuacct": "/c/x/box",
        "name=systemd": "/c/s/box",
        "memory": "/c/m/box",
        "unified": "/u",
    }
    mounts = mounts_for("hybrid", paths, MOUNT)
    assert [(mount["type"], mount["destination"], mount["source"]) for mount in mounts] == [
        ("tmpfs", "/sys/fs/cgroup", "tmpfs"),
        ("bind", "/sys/fs/cgroup/cpu,cpuacct", "/c/x/box"),
        ("symlink", "/sys/fs/cgroup/cpu", "cpu,cpuacct"),
        ("symlink", "/sys/fs/cgroup/cpuacct", "cpu,cpuacct"),
        ("bind", "/sys/fs/cgroup/systemd", "/c/s/box"),
        ("bind", "/sys/fs/cgroup/memory", "/c/m/box"),
        ("remount", "/sys/fs/cgroup", ""),
    ]
    assert "ro" not in mounts[0]["options"]


def test_line_42_writable():
    """Checklist 42."""
    mounts = mounts_for("v1", {"pids": "/c/p/box"}, {**MOUNT, "options": ["rw"]})
    assert [mount["type"] for mount in mounts] == ["tmpfs", "bind"]
