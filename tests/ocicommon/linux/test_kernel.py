"""The calls against the running kernel, each in a process of its own."""

import os

import pytest
from ocicommon.linux import calls, files, mounts, process
from ocicommon.linux.errors import SyscallError


def test_reading_calls_work_for_anyone():
    fd = files.openat2(calls.AT_FDCWD, "/proc", os.O_PATH)
    try:
        assert mounts.filesystem_type(fd) == mounts.PROC_SUPER_MAGIC
        assert mounts.is_mount_root(fd)
        assert not mounts.is_mount_root(fd, "self")
        assert str(mounts.mount_id(fd)) in {line.split()[0] for line in open("/proc/self/mountinfo")}
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)
    soft, hard = process.prlimit(0, process.RESOURCES["RLIMIT_NOFILE"])
    assert 0 < soft <= hard


def test_resolution_stays_in_the_root(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root" / "link").symlink_to("/secret")
    (tmp_path / "root" / "up").symlink_to("../secret")
    root = os.open(tmp_path / "root", os.O_PATH)
    try:
        for name in ("link", "up", "../secret"):
            with pytest.raises(SyscallError) as caught:
                files.openat2(root, name, os.O_RDONLY, resolve=files.RESOLVE_IN_ROOT)
            assert caught.value.errno == 2
    finally:
        os.close(root)


def test_a_sealed_memfd_cannot_be_changed(run_python):
    got = run_python("""
fd = files.sealed_memfd("thing", open("/bin/true", "rb").read())
pid = os.fork()
if pid == 0:
    process.execveat(fd, "", [b"true"], [])
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
try:
    os.write(again, b"x")
    wrote = True
except PermissionError:
    wrote = False
done([files.seals(fd), code, wrote, os.get_inheritable(fd)])
""")
    assert got == [15, 0, False, False]


@pytest.mark.root
def test_clone3_makes_namespaces_and_a_pidfd(run_python):
    got = run_python("""
import select
pid, pidfd = process.clone3(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWUTS, want_pidfd=True)
if pid == 0:
    os._exit(os.getpid() + 40)
select.select([pidfd], [], [])
inheritable = os.get_inheritable(pidfd)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
done([code, inheritable, failing(process.pidfd_send_signal, pidfd, 0)[0]])
""")
    assert got == [41, False, 3]


@pytest.mark.root
def test_namespaces_are_told_and_entered_by_descriptor(run_python):
    got = run_python("""
ready, release = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    namespaces.unshare(namespaces.CLONE_NEWNET)
    os.write(ready[1], b"x")
    os.read(release[0], 1)
    os._exit(0)
os.read(ready[0], 1)
fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
mine = os.readlink("/proc/self/ns/net")
kind = namespaces.namespace_type(fd)
namespaces.setns(fd, namespaces.CLONE_NEWNET)
theirs = os.readlink("/proc/self/ns/net")
same = theirs == os.readlink(f"/proc/{pid}/ns/net")
owner = namespaces.owning_user_namespace(fd)
link = os.readlink(f"/proc/self/fd/{owner}")
os.write(release[1], b"x")
os.waitpid(pid, 0)
done([kind == namespaces.CLONE_NEWNET, mine != theirs, same, link == os.readlink("/proc/self/ns/user"),
      failing(namespaces.namespace_type, 0)[0] in (25, 22)])
""")
    assert got == [True] * 5


@pytest.mark.root
def test_a_filesystem_is_made_configured_attached_and_moved(run_python, tmp_path):
    got = run_python(
        """
private_mounts()
place = sys.argv[1]
fs = mounts.fsopen("tmpfs")
mounts.fsconfig_set_string(fs, "size", "1m")
refusal = failing(mounts.fsconfig_set_string, fs, "sizee", "1m")
said = mounts.filesystem_log(fs)
mounts.fsconfig_create(fs)
tree = mounts.fsmount(fs, attributes=mounts.MOUNT_ATTR_NOEXEC)
target = os.open(place, os.O_PATH | os.O_DIRECTORY)
mounts.attach(tree, target)
open(place + "/file", "w").close()
copy = mounts.clone_tree(place)
mounts.mount_setattr(copy, "", set_=mounts.MOUNT_ATTR_RDONLY)
os.mkdir(place + "/copy")
mounts.attach(copy, os.open(place + "/copy", os.O_PATH))
try:
    open(place + "/copy/other", "w")
    read_only = False
except OSError as error:
    read_only = error.errno == 30
kind = mounts.filesystem_type(os.open(place, os.O_PATH))
mounts.umount2(place + "/copy", mounts.MNT_DETACH)
mounts.umount2(place, mounts.MNT_DETACH)
done([refusal[1], said, read_only, kind == mounts.TMPFS_MAGIC, os.listdir(place)])
""",
        str(tmp_path),
    )
    assert got[0] == "fsconfig sizee=1m: invalid argument (EINVAL)"
    assert "Unknown parameter 'sizee'" in got[1][0]
    assert got[2:] == [True, True, []]


@pytest.mark.root
def test_pivot_root_stacks_and_unmounts(run_python, tmp_path):
    (tmp_path / "marker").touch()
    got = run_python(
        """
private_mounts()
new = sys.argv[1]
mounts.mount(new, new, None, mounts.MS_BIND | mounts.MS_REC)
os.chdir(new)
mounts.pivot_root(".", ".")
mounts.umount2(".", mounts.MNT_DETACH)
os.chdir("/")
done(os.listdir("/"))
""",
        str(tmp_path),
    )
    assert got == ["marker"]


@pytest.mark.root
def test_capabilities_are_read_dropped_and_raised(run_python):
    got = run_python("""
effective, permitted, inheritable = capabilities.capget()
kill = capabilities.bit("CAP_KILL")
last = capabilities.last()
told = int(open("/proc/sys/kernel/cap_last_cap").read())
before = capabilities.in_bounding(kill)
capabilities.drop_bounding(kill)
after = capabilities.in_bounding(kill)
chown = 1 << capabilities.bit("CAP_CHOWN")
capabilities.capset(chown, chown, chown)
capabilities.ambient_raise(capabilities.bit("CAP_CHOWN"))
ambient = capabilities.in_ambient(capabilities.bit("CAP_CHOWN"))
capabilities.ambient_clear()
done([last == told, before, after, list(capabilities.capget()), ambient,
      capabilities.in_ambient(capabilities.bit("CAP_CHOWN")),
      failing(capabilities.capset, effective, effective, 0)])
""")
    assert got == [True, True, False, [1, 1, 1], True, False, [1, "capset: operation not permitted (EPERM)"]]


def test_what_a_process_says_about_itself(run_python):
    got = run_python("""
process.set_name("a-test")
process.set_no_new_privileges()
process.set_dumpable(False)
process.set_child_subreaper(True)
process.set_keep_capabilities(True)
process.set_parent_death_signal(0)
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
done([open("/proc/self/comm").read().strip(), fields["NoNewPrivs"].strip(),
      process.prctl(process.PR_GET_DUMPABLE), process.personality() & 0xff])
""")
    assert got == ["a-test", "1", 0, 0]


def test_the_other_end_of_a_terminal_is_opened_by_descriptor(run_python):
    got = run_python("""
ptmx = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
terminal.unlock(ptmx)
peer = terminal.open_peer(ptmx, os.O_RDWR | os.O_NOCTTY)
terminal.set_window_size(ptmx, 24, 81)
os.setsid()
terminal.make_controlling(peer)
done([terminal.get_window_size(peer), os.isatty(peer), os.ttyname(peer).endswith(f"/{terminal.number(ptmx)}"),
      os.tcgetpgrp(peer) == os.getpid()])
""")
    assert got == [[24, 81], True, True, True]


def test_descriptors_above_a_number_are_closed_or_marked(run_python):
    got = run_python("""
kept = os.dup2(1, 40)
os.dup2(1, 41)
process.close_range(40, 40)
process.close_range(41, flags=process.CLOSE_RANGE_CLOEXEC)
try:
    os.fstat(40)
    closed = False
except OSError:
    closed = True
done([closed, os.get_inheritable(41)])
""")
    assert got == [True, False]
