"""Containers on pure cgroup v2: the command in a private mount namespace where nothing else is mounted."""

import json
import subprocess

import pytest

VIEW = "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"


@pytest.fixture
def v2(box):
    """Runs a shell text there, with ``railcar`` as ``$R``, the container's id as ``$ID`` and its bundle as ``$B``."""
    probe = subprocess.run(["unshare", "-m", "sh", "-c", VIEW], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this machine does not mount cgroup2 in a private mount namespace")

    def run(text):
        box.write()
        output = box.bundle / "output"
        head = f"set -e\n{VIEW}\nR='{box.railcar} --root {box.root}'\nID={box.name}\nB={box.bundle}\n"
        end = f"\ntrap - EXIT\n$R delete --force $ID\n! ls -d /sys/fs/cgroup/{box.name} 2>/dev/null\n"
        script = f"{head}trap '$R delete --force $ID' EXIT\n{text}{end}"
        with output.open("w") as file:
            argv = ["unshare", "-m", "sh", "-c", script]
            done = subprocess.run(
                argv, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120, check=False
            )
        assert done.returncode == 0, output.read_text()
        return output.read_text()

    return run


def test_line_88_a_whole_life(box, v2):
    """Checklist 88: create, start, exec, pause, resume, ps, events, update, kill, delete."""
    said = v2("""
        $R run -d -b $B $ID > /dev/null
        grep -q "$($R ps -f json $ID | tr -d '[]')" /sys/fs/cgroup/$ID/cgroup.procs
        $R exec $ID /bin/sh -c 'cat /proc/self/cgroup' | grep '^0::'
        $R pause $ID
        $R state $ID | grep -o '"status": *"paused"'
        grep -q 'frozen 1' /sys/fs/cgroup/$ID/cgroup.events
        if $R exec $ID /bin/true; then exit 1; fi
        $R resume $ID
        $R events --stats $ID | grep -o '"type":"stats"'
        $R kill $ID KILL
    """)
    assert f"0::/{box.name}" in said
    assert '"paused"' in said
    assert "cannot exec in a paused container" in said
    assert '"type":"stats"' in said


def test_line_73_and_42_a_cgroup_namespace_and_its_mount(box, v2):
    """Checklist 42, 73, 88: the container sees its own group as the root, in /proc and in the mount."""
    box.config["linux"]["namespaces"].append({"type": "cgroup"})
    (box.bundle / "rootfs/sys").mkdir()
    box.config["mounts"] += [
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]},
    ]
    said = v2("""
        $R run -d -b $B $ID > /dev/null
        $R exec $ID /bin/sh -c 'cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs' | grep -v '^[1-9][0-9]*:.*:'
        if $R exec $ID /bin/sh -c 'mkdir /sys/fs/cgroup/x'; then exit 1; fi
    """)
    assert "0::/\n" in said
    assert "\n1\n" in said
    assert "Read-only file system" in said


def test_exec_where_controllers_were_handed_down(box, v2):
    """A group that handed controllers down takes no process: the program joins the group of the first process."""
    said = v2("""
        $R run -d -b $B $ID > /dev/null
        available=$(cat /sys/fs/cgroup/$ID/cgroup.controllers)
        if [ -z "$available" ]; then echo no controllers; exit 0; fi
        mkdir /sys/fs/cgroup/$ID/init
        cat /sys/fs/cgroup/$ID/cgroup.procs > /sys/fs/cgroup/$ID/init/cgroup.procs
        for name in $available; do echo +$name > /sys/fs/cgroup/$ID/cgroup.subtree_control; done
        $R exec $ID /bin/sh -c 'cat /proc/self/cgroup' | grep '^0::'
    """)
    if "no controllers" in said:
        pytest.skip("this kernel offers no controller on cgroup v2")
    assert f"0::/{box.name}/init" in said


def test_line_117_122_limits_of_the_controllers_that_are_there(box, v2):
    """Checklist 117, 122 on this kernel's v2 controllers; plan tests hold the rest."""
    box.config["linux"]["resources"] = {"unified": {"cgroup.max.depth": "7"}}
    said = v2(
        """
        $R run -d -b $B $ID > /dev/null
        cat /sys/fs/cgroup/$ID/cgroup.max.depth
        controllers=$(cat /sys/fs/cgroup/cgroup.controllers)
        case " $controllers " in *" hugetlb "*)
            $R update --resources - $ID <<-END
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}
            END
            cat /sys/fs/cgroup/$ID/hugetlb.2MB.max;;
        *) echo 4194304;;
        esac
    """.replace("            END", "END")
    )
    assert "7\n" in said
    assert "4194304\n" in said


def test_a_limit_that_this_kernel_cannot_set_leaves_nothing(box, v2):
    box.config["linux"]["resources"] = {"unified": {"nonsense.max": "1"}}
    said = v2("""
        if $R create -b $B $ID > /dev/null; then exit 1; fi
        ls $B/../state
    """)
    assert "nonsense.max for linux.resources.unified.nonsense.max" in said
    assert json.loads(box.command("list", "-f", "json").stdout or "null") is None
