"""Times and owners in an ext4 image, which mke2fs takes from the files it is given: all made the same afterwards.

The image has no metadata checksums, so that an inode may be changed alone. Documentation/filesystems/ext4.
"""

from __future__ import annotations

import struct
from pathlib import Path

from crashcart.errors import CrashcartError

_SUPERBLOCK = 1024
_MAGIC = 0xEF53
# Offsets in an inode: of uid, gid; access, change, modification, deletion time; their high halves and creation time.
_OWNERS = ((0x2, 2), (0x18, 2), (0x78, 2), (0x7A, 2))
_TIMES = ((0x8, 4), (0xC, 4), (0x10, 4), (0x84, 4), (0x88, 4), (0x8C, 4), (0x90, 4), (0x94, 4))
_SUPER_TIMES = ((0x2C, 4), (0x30, 4), (0x40, 4), (0x108, 4))
_SUPER_WRITTEN = 0x178


def settle(path: Path) -> None:
    """Make every inode root's and of the epoch. CrashcartError when the image is none that we made."""
    data = bytearray(path.read_bytes())
    word = struct.Struct("<I")
    if struct.unpack_from("<H", data, _SUPERBLOCK + 0x38)[0] != _MAGIC:
        raise CrashcartError(f"{path} is no ext4 image")
    inodes, blocks = word.unpack_from(data, _SUPERBLOCK)[0], word.unpack_from(data, _SUPERBLOCK + 4)[0]
    size = 1024 << word.unpack_from(data, _SUPERBLOCK + 0x18)[0]
    blocks_each = word.unpack_from(data, _SUPERBLOCK + 0x20)[0]
    each = word.unpack_from(data, _SUPERBLOCK + 0x28)[0]
    inode = struct.unpack_from("<H", data, _SUPERBLOCK + 0x58)[0]
    wide = word.unpack_from(data, _SUPERBLOCK + 0x60)[0] & 0x80
    descriptor = struct.unpack_from("<H", data, _SUPERBLOCK + 0xFE)[0] if wide else 32
    table = size if size > 1024 else 2048
    for group in range(-(-blocks // blocks_each)):
        start = word.unpack_from(data, table + group * descriptor + 8)[0] * size
        for number in range(min(each, inodes - group * each)):
            at = start + number * inode
            if struct.unpack_from("<H", data, at)[0] or group + number == 0:
                _clear(data, at, (*_OWNERS, *_TIMES))
    for copy in range(-(-blocks // blocks_each)):
        at = copy * blocks_each * size + (_SUPERBLOCK if copy == 0 else 0)
        if struct.unpack_from("<H", data, at + 0x38)[0] == _MAGIC:
            _clear(data, at, _SUPER_TIMES)
            data[at + _SUPER_WRITTEN : at + _SUPER_WRITTEN + 8] = b"\0" * 8
    path.write_bytes(data)


def _clear(data: bytearray, at: int, fields: tuple[tuple[int, int], ...]) -> None:
    for offset, length in fields:
        data[at + offset : at + offset + length] = b"\0" * length
