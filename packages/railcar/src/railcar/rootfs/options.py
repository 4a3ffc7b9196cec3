"""What the words in mounts[].options mean: a table, and the reading of a list of them. mount(8), config.md.

Nothing here touches the system.
"""

from __future__ import annotations

from ocicommon.linux.mounts import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    MS_DIRSYNC,
    MS_I_VERSION,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_SHARED,
    MS_SILENT,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_SYNCHRONOUS,
    MS_UNBINDABLE,
)

# Attributes of one mount: word -> (bits to set, bits to clear). The access time family is one field of three values.
ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "atime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "relatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "norelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "nostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

# What a bind mount with any attributes of its own does not take from its source.
RESET = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW

# Flags of the filesystem itself: word -> (its MS_* bit, whether it sets it).
SUPERBLOCK = {
    "sync": (MS_SYNCHRONOUS, True),
    "async": (MS_SYNCHRONOUS, False),
    "dirsync": (MS_DIRSYNC, True),
    "mand": (MS_MANDLOCK, True),
    "nomand": (MS_MANDLOCK, False),
    "lazytime": (MS_LAZYTIME, True),
    "nolazytime": (MS_LAZYTIME, False),
    "iversion": (MS_I_VERSION, True),
    "noiversion": (MS_I_VERSION, False),
    "silent": (MS_SILENT, True),
    "loud": (MS_SILENT, False),
}

# What fsconfig(2) calls those it knows; the others can only be given to mount(2).
SUPERBLOCK_WORDS = (
    (MS_SYNCHRONOUS, "sync"),
    (MS_DIRSYNC, "dirsync"),
    (MS_MANDLOCK, "mand"),
    (MS_LAZYTIME, "lazytime"),
)
ONLY_BY_MOUNT = MS_I_VERSION | MS_SILENT

PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}

_ACTIONS = ("bind", "rbind", "remount", "defaults", "tmpcopyup", "idmap", "ridmap")

# Every word that is not handed to the filesystem as data: what `features` reports.
NAMES = tuple(sorted([*ATTRIBUTES, *("r" + name for name in ATTRIBUTES), *SUPERBLOCK, *PROPAGATION, *_ACTIONS]))

_TO_MS = (
    (MOUNT_ATTR_RDONLY, MS_RDONLY),
    (MOUNT_ATTR_NOSUID, MS_NOSUID),
    (MOUNT_ATTR_NODEV, MS_NODEV),
    (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
    (MOUNT_ATTR_NOATIME, MS_NOATIME),
    (MOUNT_ATTR_STRICTATIME, MS_STRICTATIME),
    (MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
)


class Options:
    """A list of mount options, read. Later words win over earlier ones, as with mount(8).

    ``set``/``clear``: MOUNT_ATTR_* of this mount; ``recursive_set``/``recursive_clear``: of all mounts below it too;
    ``superblock``: MS_* bits of the filesystem; ``propagation``: MS_* in the order given; ``data``: what is left, for
    the filesystem; ``bind``: "", "bind" or "rbind"; ``idmap``: "", "idmap" or "ridmap".
    """

    __slots__ = (
        "bind",
        "clear",
        "copy_up",
        "data",
        "idmap",
        "propagation",
        "recursive_clear",
        "recursive_set",
        "remount",
        "set",
        "superblock",
    )

    def __init__(self) -> None:
        self.set = 0
        self.clear = 0
        self.recursive_set = 0
        self.recursive_clear = 0
        self.superblock = 0
        self.propagation: list[int] = []
        self.data: list[str] = []
        self.bind = ""
        self.idmap = ""
        self.remount = False
        self.copy_up = False

    def mount_flags(self) -> int:
        """The same as MS_* bits, for mount(2)."""
        return attributes_to_flags(self.set | self.recursive_set) | self.superblock

    def has_data(self, key: str) -> bool:
        """Whether the filesystem is given ``key`` or ``key=...``."""
        return any(word == key or word.startswith(key + "=") for word in self.data)


def attributes_to_flags(attributes: int) -> int:
    """MOUNT_ATTR_* as the MS_* bits of mount(2)."""
    flags = 0
    for attribute, flag in _TO_MS:
        if attributes & attribute:
            flags |= flag
    if attributes & MOUNT_ATTR__ATIME == MOUNT_ATTR_RELATIME:
        flags |= MS_RELATIME
    return flags


def parse(words: list[str]) -> Options:
    """Read mounts[].options. Words that mean nothing to us are data for the filesystem, which refuses what it must."""
    options = Options()
    for word in words:
        pair = ATTRIBUTES.get(word)
        if pair is not None:
            options.set, options.clear = _apply(options.set, options.clear, pair)
        elif word in SUPERBLOCK:
            bit, wanted = SUPERBLOCK[word]
            options.superblock = options.superblock | bit if wanted else options.superblock & ~bit
        elif word in PROPAGATION:
            options.propagation.append(PROPAGATION[word])
        elif word in ("bind", "rbind"):
            options.bind = word
        elif word in ("idmap", "ridmap"):
            options.idmap = word
        elif word == "remount":
            options.remount = True
        elif word == "tmpcopyup":
            options.copy_up = True
        elif word.startswith("r") and word[1:] in ATTRIBUTES:
            pair = ATTRIBUTES[word[1:]]
            options.recursive_set, options.recursive_clear = _apply(
                options.recursive_set, options.recursive_clear, pair
            )
        elif word and word != "defaults":
            options.data.append(word)
    return options


def _apply(already: int, cleared: int, pair: tuple[int, int]) -> tuple[int, int]:
    wanted, unwanted = pair
    if unwanted == MOUNT_ATTR__ATIME:
        return (already & ~MOUNT_ATTR__ATIME) | wanted, cleared | MOUNT_ATTR__ATIME
    return (already & ~unwanted) | wanted, (cleared & ~wanted) | unwanted
