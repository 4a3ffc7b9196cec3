"""The systemd driver with the real systemd: a user manager of our own, in private namespaces, on cgroup v2."""

import os
import subprocess

import pytest

SYSTEMD = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.path.exists(path)), "")

# A manager that believes that the machine was booted by systemd, with a cgroup of its own; it ends with the pid
# namespace.
HEAD = """
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/user/0
mount -t tmpfs none /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$ID/manager
export XDG_RUNTIME_DIR=/run/user/0
unset DBUS_SESSION_BUS_ADDRESS
echo $$ > /sys/fs/cgroup/$ID/manager/cgroup.procs
HOME=/run $SYSTEMD --user --unit=basic.target > /run/log 2>&1 &
tries=0
until [ -S /run/user/0/systemd/private ]; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ] || ! kill -0 $! 2>/dev/null; then echo "no systemd: $(tail -3 /run/log)"; exit 0; fi
    sleep 0.1
done
"""
TAIL = """
echo $$ > /sys/fs/cgroup/cgroup.procs
kill -KILL $!
wait || true
"""


@pytest.fixture
def managed(box):
    """Runs a shell text beside the manager, with ``railcar --systemd-cgroup`` as ``$R``; gives its output."""
    if not SYSTEMD or subprocess.run(["sh", "-c", "command -v systemctl"], capture_output=True, check=False).returncode:
        pytest.skip("needs systemd and systemctl")
    view = "mount -t tmpfs none /run && mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    isolated = ["unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c"]
    if subprocess.run([*isolated, view], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not mount cgroup2 in private namespaces")

    def run(text):
        del box.config["linux"]["cgroupsPath"]
        box.write()
        output = box.bundle / "output"
        command = f"{box.railcar} --root {box.root} --systemd-cgroup --rootless=true"
        names = f"set -e\nSYSTEMD={SYSTEMD}\nR='{command}'\nID={box.name}\nB={box.bundle}\n"
        with output.open("w") as file:
            argv = [*isolated, names + HEAD + text + TAIL]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, timeout=180, check=False
            )
        sweep = f"{view} && find /sys/fs/cgroup/{box.name} -depth -type d -exec rmdir {{}} ';'"
        subprocess.run(["unshare", "-m", "sh", "-c", sweep], capture_output=True, check=False)
        said = output.read_text()
        if "no systemd: " in said:
            pytest.skip(said[said.index("no systemd: ") :].strip())
        assert done.returncode == 0, said
        return said

    return run


def test_line_87_and_29_a_scope_of_the_real_systemd(box, managed):
    """Checklist 29, 87: made, found by systemctl with its properties, updated, entered, and gone."""
    box.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 5"}
    said = managed("""
        $R run -d -b $B $ID > /dev/null
        $R exec $ID /bin/sh -c 'cat /proc/self/cgroup' | grep '^0::'
        systemctl --user show railcar-$ID.scope -p Delegate,ActiveState,TimeoutStopUSec,Slice
        $R pause $ID
        $R resume $ID
        $R delete --force $ID
        systemctl --user show railcar-$ID.scope -p ActiveState | sed 's/^/afterwards /'
        if ls -d /sys/fs/cgroup/$ID/manager/user.slice/railcar-$ID.scope 2>/dev/null; then exit 1; fi
    """)
    assert f"0::/{box.name}/manager/user.slice/railcar-{box.name}.scope" in said
    for line in ("Delegate=yes", "ActiveState=active", "TimeoutStopUSec=5s", "Slice=user.slice"):
        assert line + "\n" in said
    assert "afterwards ActiveState=inactive\n" in said


def test_line_87_a_name_in_a_slice_of_slices(box, managed):
    """Checklist 87: slice:prefix:name, where the slice lies in another."""
    box.config["linux"]["cgroupsPath"] = "gone"
    said = managed("""
        sed -i 's/"linux": {/"linux": {"cgroupsPath": "shop-front.slice:till:one", /' $B/config.json
        $R run -d -b $B $ID > /dev/null
        $R exec $ID /bin/sh -c 'cat /proc/self/cgroup' | grep '^0::'
        $R delete --force $ID
    """)
    assert f"0::/{box.name}/manager/shop.slice/shop-front.slice/till-one.scope" in said
