"""The exact system calls of the doers, written down by the recording double: no root needed."""

import os
from typing import Any

import pytest
from ocicommon.linux import mounts as m
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.recording import recording
from railcar.errors import StepError
from railcar.rootfs import filesystems, options, sources
from railcar.rootfs.mount import Mount

EINVAL, EPERM = 22, 1


def descriptor(*_: Any) -> int:
    """A descriptor that may be closed."""
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def new(kind: str, *words: str, source: str = "") -> Mount:
    return Mount(0, "new", "/there", kind, source, options.parse(list(words)))


def configured(calls: Any) -> list[tuple[Any, ...]]:
    """(command, key, value) of each fsconfig."""
    return [arguments[1:4] for name, arguments in calls if name == "fsconfig"]


def test_a_tmpfs_is_opened_configured_made_and_mounted_with_its_attributes() -> None:
    with recording({"fsopen": descriptor, "fsmount": 99}) as calls:
        words = ("nosuid", "noexec", "rnodev", "size=64k,mode=0700", "lazytime", "noswap")
        assert filesystems.create(new("tmpfs", *words), ["mode=0755"]) == 99
    assert calls.names() == ["fsopen", *["fsconfig"] * 7, "fsmount"]
    assert configured(calls) == [
        (1, b"source", b"tmpfs"),
        (0, b"lazytime", None),
        (1, b"mode", b"0755"),
        (1, b"size", b"64k"),
        (1, b"mode", b"0700"),
        (0, b"noswap", None),
        (6, None, None),
    ]
    attributes = calls[-1][1][2]
    assert attributes == m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NOEXEC | m.MOUNT_ATTR_NODEV


@pytest.mark.parametrize(("kind", "told"), [("ext4", True), ("sysfs", False), ("proc", False), ("tmpfs", False)])
def test_read_only_is_told_to_filesystems_that_nobody_else_mounts(kind: str, told: bool) -> None:
    with recording({"fsopen": descriptor, "fsmount": 99}) as calls:
        filesystems.create(new(kind, "ro", source="/dev/x"), [])
    assert ((0, b"ro", None) in configured(calls)) == told
    assert calls[-1][1][2] == m.MOUNT_ATTR_RDONLY


def test_a_label_goes_without_its_quotes_and_keeps_its_commas() -> None:
    label = "system_u:object_r:container_file_t:s0:c1,c2"
    with recording({"fsopen": descriptor, "fsmount": 99}) as calls:
        filesystems.create(new("tmpfs", f'context="{label}"'), [])
    assert (1, b"context", label.encode()) in configured(calls)


def test_a_group_that_is_not_mapped_is_left_out_for_terminals_only() -> None:
    def picky(_: int, command: int, key: Any, *__: Any) -> int:
        if key == b"gid":
            raise SyscallError(EINVAL, "fsconfig", "gid=5")
        return 0

    with recording({"fsopen": descriptor, "fsmount": 99, "fsconfig": picky}) as calls:
        assert filesystems.create(new("devpts", "gid=5", "mode=0620"), []) == 99
        assert configured(calls)[-2] == (1, b"mode", b"0620")
        with pytest.raises(StepError):
            filesystems.create(new("tmpfs", "gid=5"), [])
        with pytest.raises(StepError):
            filesystems.create(new("devpts", "gid=five"), [])


@pytest.mark.parametrize("words", [["iversion"], ["silent"], ["lowerdir=" + "x" * 256]])
def test_what_fsconfig_cannot_say_is_left_to_mount2(words: list[str]) -> None:
    assert filesystems.needs_mount2(new("overlay", *words))
    assert not filesystems.needs_mount2(new("overlay", "lowerdir=" + "x" * 255, "lazytime"))


def test_a_copy_of_the_hosts_mount_is_cut_off_before_anything_else() -> None:
    with recording({"open_tree": 50}) as calls:
        assert sources.clone("/somewhere", True, m.MS_SLAVE) == 50
    (first, opening), (second, setting) = calls
    assert (first, opening[1]) == ("open_tree", b"/somewhere")
    assert opening[2] == m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | 0x8000
    assert (second, setting[0], setting[2]) == ("mount_setattr", 50, 0x1000 | 0x8000)


def test_what_cannot_be_copied_alone_is_copied_with_what_is_locked_to_it() -> None:
    def locked(_: int, __: bytes, flags: int) -> int:
        if not flags & 0x8000:
            raise SyscallError(EINVAL, "open_tree", "/locked")
        return 51

    with recording({"open_tree": locked}) as calls:
        assert sources.clone("/locked", False, 0) == 51
    assert calls.names() == ["open_tree", "open_tree"]


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        (m.MS_SLAVE | m.MS_REC, m.MS_SLAVE),
        (m.MS_PRIVATE, m.MS_PRIVATE),
        (m.MS_UNBINDABLE, m.MS_SLAVE),
        (m.MS_SHARED | m.MS_REC, 0),
    ],
)
def test_only_a_shared_root_leaves_volumes_in_the_hosts_peer_groups(wanted: int, first: int) -> None:
    assert sources.inherited_propagation(wanted) == first


def test_an_old_kernel_is_told_by_its_youngest_missing_call() -> None:
    with recording({"mount_setattr": SyscallError(38, "mount_setattr", "")}):
        assert not sources.is_modern()
    with recording({"mount_setattr": SyscallError(EPERM, "mount_setattr", "")}):
        assert sources.is_modern()
