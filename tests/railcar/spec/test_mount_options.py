"""Every word of mounts[].options becomes exactly the bits that mount(8) gives it."""

import pytest
from ocicommon.linux import mounts as m
from railcar.rootfs import options


@pytest.mark.parametrize("word", sorted(options.ATTRIBUTES))
def test_line_033_an_attribute_is_set_or_cleared_on_this_mount_only(word: str) -> None:
    read = options.parse([word])
    assert (read.set, read.clear) == options.ATTRIBUTES[word]
    assert (read.recursive_set, read.recursive_clear, read.superblock, read.data) == (0, 0, 0, [])


@pytest.mark.parametrize("word", sorted(options.ATTRIBUTES))
def test_line_037_the_same_word_with_an_r_is_for_the_whole_tree(word: str) -> None:
    read = options.parse(["r" + word])
    assert (read.recursive_set, read.recursive_clear) == options.ATTRIBUTES[word]
    assert (read.set, read.clear, read.data) == (0, 0, [])


@pytest.mark.parametrize(
    ("words", "set_", "clear"),
    [
        (["ro", "rw"], 0, m.MOUNT_ATTR_RDONLY),
        (["rw", "ro"], m.MOUNT_ATTR_RDONLY, 0),
        (["nosuid", "nodev", "noexec"], m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC, 0),
        (["noexec", "exec"], 0, m.MOUNT_ATTR_NOEXEC),
        (["nodiratime", "diratime"], 0, m.MOUNT_ATTR_NODIRATIME),
        (["nosymfollow"], m.MOUNT_ATTR_NOSYMFOLLOW, 0),
        (["nosymfollow", "symfollow"], 0, m.MOUNT_ATTR_NOSYMFOLLOW),
    ],
)
def test_the_later_word_wins(words: list[str], set_: int, clear: int) -> None:
    read = options.parse(words)
    assert (read.set, read.clear) == (set_, clear)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["noatime"], m.MOUNT_ATTR_NOATIME),
        (["noatime", "strictatime"], m.MOUNT_ATTR_STRICTATIME),
        (["strictatime", "noatime", "relatime"], m.MOUNT_ATTR_RELATIME),
        (["noatime", "atime"], m.MOUNT_ATTR_RELATIME),
        (["strictatime", "nostrictatime"], m.MOUNT_ATTR_RELATIME),
        (["noatime", "norelatime"], m.MOUNT_ATTR_RELATIME),
    ],
)
def test_line_034_the_access_time_words_are_one_field(words: list[str], value: int) -> None:
    read = options.parse(words)
    assert read.set & m.MOUNT_ATTR__ATIME == value
    assert read.clear & m.MOUNT_ATTR__ATIME == m.MOUNT_ATTR__ATIME  # the kernel changes it only as a whole


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["lazytime"], m.MS_LAZYTIME),
        (["lazytime", "nolazytime"], 0),
        (["iversion"], m.MS_I_VERSION),
        (["iversion", "noiversion"], 0),
        (["silent"], m.MS_SILENT),
        (["silent", "loud"], 0),
        (["sync", "dirsync"], m.MS_SYNCHRONOUS | m.MS_DIRSYNC),
        (["sync", "async"], 0),
        (["mand"], m.MS_MANDLOCK),
        (["mand", "nomand"], 0),
    ],
)
def test_line_035_words_about_the_filesystem_itself(words: list[str], flags: int) -> None:
    read = options.parse(words)
    assert read.superblock == flags
    assert read.mount_flags() & ~m.MS_RELATIME == flags


@pytest.mark.parametrize(
    ("word", "flags"),
    [
        ("private", m.MS_PRIVATE),
        ("rprivate", m.MS_PRIVATE | m.MS_REC),
        ("shared", m.MS_SHARED),
        ("rshared", m.MS_SHARED | m.MS_REC),
        ("slave", m.MS_SLAVE),
        ("rslave", m.MS_SLAVE | m.MS_REC),
        ("unbindable", m.MS_UNBINDABLE),
        ("runbindable", m.MS_UNBINDABLE | m.MS_REC),
    ],
)
def test_line_038_propagation_words_are_kept_in_order(word: str, flags: int) -> None:
    assert options.parse([word]).propagation == [flags]
    assert options.parse(["rslave", word]).propagation == [m.MS_SLAVE | m.MS_REC, flags]


def test_line_039_what_is_no_option_of_a_mount_is_data_for_the_filesystem() -> None:
    read = options.parse(["nosuid", "size=64k", "mode=0700", "gid=5", "defaults", "", "newinstance"])
    assert read.data == ["size=64k", "mode=0700", "gid=5", "newinstance"]
    assert read.has_data("mode")
    assert read.has_data("newinstance")
    assert not read.has_data("mod")


def test_actions_are_told_from_flags() -> None:
    read = options.parse(["rbind", "tmpcopyup", "ridmap", "remount"])
    assert (read.bind, read.copy_up, read.idmap, read.remount) == ("rbind", True, "ridmap", True)


def test_every_name_of_features_is_understood() -> None:
    assert [name for name in options.NAMES if options.parse([name]).data] == []


def test_attributes_and_flags_of_mount2_agree() -> None:
    read = options.parse(["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"])
    assert options.attributes_to_flags(read.set) == (
        m.MS_RDONLY | m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC | m.MS_NOATIME | m.MS_NODIRATIME | m.MS_NOSYMFOLLOW
    )
    assert options.attributes_to_flags(m.MOUNT_ATTR_STRICTATIME) == m.MS_STRICTATIME
