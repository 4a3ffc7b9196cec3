"""Subjects that not every machine has: each test probes, and skips with what is missing."""

import os

import pytest

pytestmark = pytest.mark.root

UNAVAILABLE = "unavailable"


def available(got):
    if isinstance(got, list) and got and got[0] == UNAVAILABLE:
        pytest.skip(f"needs what this kernel or machine lacks: {got[1]}")
    return got


def test_a_network_device_moves_with_its_new_name_and_its_addresses(run_python):
    got = available(
        run_python("""
import subprocess, struct
from ocicommon.linux import netlink
namespaces.unshare(namespaces.CLONE_NEWNET)
first = os.open("/proc/self/ns/net", os.O_RDONLY)
namespaces.unshare(namespaces.CLONE_NEWNET)
second = os.open("/proc/self/ns/net", os.O_RDONLY)
namespaces.setns(first)
import shutil
found = shutil.which("ip", path=os.defpath + ":/sbin:/usr/sbin")
add = [found, "link", "add", "one", "type", "veth", "peer", "name", "other"]
made = subprocess.run(add, capture_output=True, text=True) if found else None
if made is None or made.returncode:
    done(["unavailable", "the ip command, or veth devices"])
subprocess.run([found, "addr", "add", "10.9.8.7/24", "dev", "one"], check=True)
with netlink.Route() as route:
    index = route.index("one")
    kept = route.addresses(index)
    missing = failing(route.index, "nosuch")
    route.move(index, second, "two")
    gone = failing(route.index, "one")[0]
namespaces.setns(second)
with netlink.Route() as route:
    index = route.index("two")
    for address in kept:
        route.add_address(index, address)
    route.set_up(index)
    route.rename(index, "three")
    again = route.addresses(index)
    twice = failing(route.add_address, index, kept[0])[0]
text = subprocess.run([found, "-o", "addr", "show", "dev", "three"], capture_output=True, text=True).stdout
done([len(kept), missing, gone, len(again), twice, "10.9.8.7/24" in text])
""")
    )
    assert got[0] == 1
    assert got[1] == [19, "RTM_GETLINK of nosuch: no such device (ENODEV)"] or got[1][0] == 19
    assert got[2:] == [19, 1, 17, True]


def test_a_loop_device_shows_a_file_and_frees_itself(run_python, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(os.urandom(1 << 20))
    got = available(
        run_python(
            """
from ocicommon.linux import loop
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    path, device = loop.attach(fd, read_only=True, name=b"image")
except OSError as error:
    done(["unavailable", f"loop devices ({error})"])
same = os.pread(device, 4096, 512) == os.pread(fd, 4096, 512)
backing = f"/sys/block/{path.removeprefix('/dev/')}/loop/backing_file"
shown = os.path.exists(backing)
os.close(device)
done([same, shown])
""",
            str(image),
        )
    )
    assert got == [True, True]


def test_a_device_program_is_loaded_attached_found_and_taken_off(run_python):
    got = available(
        run_python("""
import struct
from ocicommon.linux import bpf
private_mounts()
def instruction(code, registers, offset, value):
    return struct.pack("BBhi", code, registers, offset, value)
allow = instruction(0xb7, 0, 0, 1) + instruction(0x95, 0, 0, 0)
try:
    program = bpf.load_device_program(allow)
    fs = mounts.fsopen("cgroup2")
    mounts.fsconfig_create(fs)
    tree = mounts.fsmount(fs)
except OSError as error:
    done(["unavailable", str(error)])
name = f"linux-test-{os.getpid()}"
os.mkdir(name, dir_fd=tree)
group = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree)
try:
    before = bpf.query(group)
    bpf.attach(group, program)
    ids = bpf.query(group)
    again = bpf.program_fd(ids[0])
    bpf.attach(group, bpf.load_device_program(allow), bpf.ALLOW_MULTI | bpf.REPLACE, again)
    replaced = bpf.query(group)
    bpf.detach(group, bpf.program_fd(replaced[0]))
    after = bpf.query(group)
finally:
    os.rmdir(name, dir_fd=tree)
refused = failing(bpf.load_device_program, instruction(0x95, 0, 0, 0))
done([before, len(ids), len(replaced), ids != replaced, after, refused])
""")
    )
    assert got[:5] == [[], 1, 1, True, []]
    assert got[5][0] in (13, 22)
    assert "R0 !read_ok" in got[5][1] or "device program" in got[5][1]


def test_scheduling_and_io_priority(run_python):
    got = run_python("""
from ocicommon.linux import scheduling
scheduling.sched_setattr(0, scheduling.POLICIES["SCHED_BATCH"], nice=5)
answers = [os.sched_getscheduler(0) == os.SCHED_BATCH, os.getpriority(os.PRIO_PROCESS, 0)]
scheduling.ioprio_set(0, scheduling.IOPRIO_CLASSES["IOPRIO_CLASS_IDLE"], 0)
policy = failing(scheduling.set_mempolicy, scheduling.MEMORY_POLICIES["MPOL_BIND"], 0, [0])
done([*answers, policy is None or policy[0] == 38, failing(scheduling.ioprio_set, 0, 5, 0)])
""")
    assert got[:3] == [True, 5, True]
    assert got[3][0] == 22


def test_a_session_keyring_of_ones_own(run_python):
    got = available(
        run_python("""
from ocicommon.linux import keyring
refused = failing(keyring.join_session, "_ses.linux-test")
if refused:
    done(["unavailable", refused[1]])
serial = keyring.join_session("_ses.linux-test")
keyring.set_permissions(serial, keyring.POSSESSOR_ALL | keyring.USER_VIEW_READ_SEARCH)
done([serial > 0, hex(keyring.permissions(serial))])
""")
    )
    assert got == [True, "0x3f0b0000"]
