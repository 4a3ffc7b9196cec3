"""Each wrapper hands the kernel exactly what its man page asks for; read from the recorder, without root."""

import os
import pickle
import struct

import pytest
from ocicommon.linux import calls, capabilities, files, keyring, loop, mounts, namespaces, process, scheduling, terminal
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.recording import recording
from ocicommon.linux.seccomp import load
from ocicommon.linux.seccomp.numbers import table


@pytest.mark.parametrize(("column", "abi"), [(0, "x86_64"), (1, "aarch64")])
def test_the_numbers_are_those_of_the_kernels_tables(column, abi):
    for name, row in calls._TABLE.items():
        assert row[column] == table(abi)[name], name


def test_clone3_packs_its_structure():
    with recording({"clone3": 4321}) as made:
        assert process.clone3(namespaces.CLONE_NEWPID, cgroup_fd=7) == (4321, -1)
    [(name, (structure, size))] = made
    assert (name, size) == ("clone3", 88)
    fields = struct.unpack("11Q", structure)
    assert fields[0] == namespaces.CLONE_NEWPID | process.CLONE_INTO_CGROUP
    assert fields[4] == 17
    assert fields[10] == 7
    assert fields[1:4] == (0, 0, 0)
    assert fields[5:10] == (0, 0, 0, 0, 0)


def test_a_sibling_is_born_without_an_exit_signal():
    with recording() as made:
        process.clone3(process.CLONE_PARENT)
    assert struct.unpack("11Q", made[0][1][0])[4] == 0


def test_mount_calls():
    with recording({"open_tree": 11, "fsopen": 12, "fsmount": 13}) as made:
        mounts.mount("src", "/dst", "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "size=1m")
        mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
        assert mounts.clone_tree("/a") == 11
        mounts.attach(11, 9)
        assert mounts.fsopen("proc") == 12
        mounts.fsconfig_set_string(12, "hidepid", "2")
        mounts.fsconfig_set_flag(12, "ro")
        mounts.fsconfig_set_fd(12, "fd", 5)
        mounts.fsconfig_create(12)
        assert mounts.fsmount(12, attributes=mounts.MOUNT_ATTR_NOEXEC) == 13
        mounts.mount_setattr(13, "", set_=mounts.MOUNT_ATTR_IDMAP, clear=0x70, propagation=mounts.MS_SLAVE, userns_fd=6)
        mounts.pivot_root(".", ".")
        mounts.umount2(b".", mounts.MNT_DETACH)
    assert made == [
        ("mount", (b"src", b"/dst", b"tmpfs", 6, b"size=1m")),
        ("mount", (None, b"/", None, 0x44000, None)),
        ("open_tree", (-100, b"/a", 0x80000 | 1 | 0x8000)),
        ("move_mount", (11, b"", 9, b"", 0x44)),
        ("fsopen", (b"proc", 1)),
        ("fsconfig", (12, 1, b"hidepid", b"2", 0)),
        ("fsconfig", (12, 0, b"ro", None, 0)),
        ("fsconfig", (12, 5, b"fd", None, 5)),
        ("fsconfig", (12, 6, None, None, 0)),
        ("fsmount", (12, 1, 8)),
        ("mount_setattr", (13, b"", 0x1000, struct.pack("4Q", 0x100000, 0x70, 0x80000, 6), 32)),
        ("pivot_root", (b".", b".")),
        ("umount2", (b".", 2)),
    ]


def test_openat2_tries_again_while_renames_race_and_then_gives_up():
    again = SyscallError(11, "openat2")
    left = [again, again]

    def answer(*_):
        if left:
            raise left.pop()
        return 5

    with recording({"openat2": answer}) as made:
        assert files.openat2(3, "a/b", os.O_PATH, resolve=files.RESOLVE_IN_ROOT) == 5
    assert len(made) == 3
    assert struct.unpack("3Q", made[0][1][2]) == (os.O_PATH | os.O_CLOEXEC, 0, 0x10)
    with recording({"openat2": again}) as made, pytest.raises(SyscallError, match="a/b: resource temporarily unavail"):
        files.openat2(3, "a/b", os.O_PATH, resolve=files.RESOLVE_IN_ROOT)
    assert 1 < len(made) < 1000


def test_process_calls():
    with recording({"prctl": 1, "pidfd_open": 8}) as made:
        process.set_dumpable(False)
        process.set_parent_death_signal(9)
        process.set_no_new_privileges()
        process.set_keep_capabilities(True)
        process.set_child_subreaper(True)
        process.set_name("a-name-much-too-long")
        assert process.pidfd_open(77) == 8
        process.pidfd_send_signal(8, 15)
        process.close_range(3, flags=process.CLOSE_RANGE_CLOEXEC)
        process.prlimit(0, process.RESOURCES["RLIMIT_NOFILE"], 10, 2**64 - 1)
        process.personality(process.PER_LINUX32)
        namespaces.setns(4, namespaces.CLONE_NEWNET)
    assert made[:6] == [
        ("prctl", (4, 0, 0, 0, 0)),
        ("prctl", (1, 9, 0, 0, 0)),
        ("prctl", (38, 1, 0, 0, 0)),
        ("prctl", (8, 1, 0, 0, 0)),
        ("prctl", (36, 1, 0, 0, 0)),
        ("prctl", (15, b"a-name-much-too", 0, 0, 0)),
    ]
    assert made[6:] == [
        ("pidfd_open", (77, 0)),
        ("pidfd_send_signal", (8, 15, None, 0)),
        ("close_range", (3, 0xFFFFFFFF, 4)),
        ("prlimit64", (0, 7, struct.pack("2Q", 10, 2**64 - 1), bytes(16))),
        ("personality", (8,)),
        ("setns", (4, 0x40000000)),
    ]


def test_capabilities_are_split_into_two_words():
    wanted = 1 << capabilities.bit("CAP_BPF") | 1 << capabilities.bit("CAP_CHOWN")
    with recording() as made:
        capabilities.capset(wanted, wanted, 0)
        capabilities.drop_bounding(21)
        capabilities.ambient_clear()
        capabilities.ambient_raise(5)
    assert made == [
        ("capset", (struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 1, 1, 0, 1 << 7, 1 << 7, 0))),
        ("prctl", (24, 21, 0, 0, 0)),
        ("prctl", (47, 4, 0, 0, 0)),
        ("prctl", (47, 2, 5, 0, 0)),
    ]
    assert capabilities.names(capabilities.mask(["CAP_KILL", "CAP_CHOWN"])) == ["CAP_CHOWN", "CAP_KILL"]
    assert len(capabilities.NAMES) == 41
    with pytest.raises(KeyError):
        capabilities.bit("CAP_FLY")


def test_calls_of_rarer_subjects():
    with recording({"keyctl": 99, "seccomp": 6}) as made:
        scheduling.sched_setattr(5, scheduling.POLICIES["SCHED_DEADLINE"], runtime=1, deadline=2, period=3)
        scheduling.ioprio_set(5, scheduling.IOPRIO_CLASSES["IOPRIO_CLASS_BE"], 4)
        scheduling.set_mempolicy(scheduling.MEMORY_POLICIES["MPOL_BIND"], nodes=[0, 2])
        assert keyring.join_session("_ses.x") == 99
        keyring.set_permissions(99, 0x3F0B0000)
        terminal.set_window_size(3, 24, 80)
        terminal.open_peer(3, os.O_RDWR | os.O_NOCTTY)
        loop.configure(3, 9, read_only=True, autoclear=True, name=b"image")
        assert load(b"\0" * 16, 8) == 6
        assert load(b"\0" * 16, 0) == -1
    assert made[0] == ("sched_setattr", (5, struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 1, 2, 3), 0))
    assert made[1] == ("ioprio_set", (1, 5, 2 << 13 | 4))
    assert made[2] == ("set_mempolicy", (2, b"\5\0\0\0\0\0\0\0", 65))
    assert made[3:5] == [("keyctl", (1, b"_ses.x")), ("keyctl", (5, 99, 0x3F0B0000))]
    assert made[5] == ("ioctl", (3, 0x5414, struct.pack("4H", 24, 80, 0, 0)))
    assert made[6] == ("ioctl", (3, 0x5441, os.O_RDWR | os.O_NOCTTY))
    name, (device, request, config) = made[7]
    assert (name, device, request, len(config)) == ("ioctl", 3, 0x4C0A, 304)
    assert struct.unpack_from("I", config)[0] == 9
    assert struct.unpack_from("I", config, 60)[0] == 1 | 4
    assert config[64:70] == b"image\0"
    assert struct.unpack("HxxxxxxQ", made[8][1][2])[0] == 2


def test_a_path_with_a_nul_is_refused_before_the_kernel_would_shorten_it():
    with recording() as made, pytest.raises(SyscallError) as caught:
        mounts.umount2("/safe\0/../etc")
    assert caught.value.errno == 22
    assert made == []


def test_an_error_says_call_subject_and_errno():
    with pytest.raises(SyscallError) as caught:
        files.openat2(calls.AT_FDCWD, "/does/not/exist", os.O_PATH)
    error = caught.value
    assert str(error) == "openat2 /does/not/exist: no such file or directory (ENOENT)"
    assert (error.errno, error.call, error.subject) == (2, "openat2", "/does/not/exist")
    assert isinstance(error, OSError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def test_an_undecodable_path_is_named_and_not_stumbled_over():
    with pytest.raises(SyscallError, match="openat2 /\udcff: no such file"):
        files.openat2(calls.AT_FDCWD, b"/\xff", os.O_PATH)


def test_recordings_nest_and_end():
    with recording() as outer:
        with recording({"unshare": SyscallError(1, "unshare")}) as inner, pytest.raises(SyscallError):
            namespaces.unshare(0)
        namespaces.unshare(0)
    assert (inner.names(), outer.names()) == (["unshare"], ["unshare"])
    assert calls.recorder is None
