"""From the files of an image to one file that is a filesystem, byte for byte the same each time, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from crashcart.build import ext4
from crashcart.build.select import Image
from crashcart.errors import CrashcartError

FORMATS = ("erofs", "squashfs", "ext4")
_PROGRAMS = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mke2fs"}
_PACKAGES = {"erofs": "erofs-utils", "squashfs": "squashfs-tools", "ext4": "e2fsprogs"}
_UUID = "63726173-6863-4172-9400-000000000001"
_MODE_DIRECTORY = 0o755


def write(image: Image, directory: Path) -> int:
    """Write the files below an empty directory, whatever the umask; their size in bytes."""
    total = 0
    for path in sorted(image):
        entry = image[path]
        there = directory / path
        missing = [parent for parent in there.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir()
            parent.chmod(_MODE_DIRECTORY)
        if entry.target:
            there.symlink_to(entry.target)
            continue
        data = entry.data()
        total += len(data)
        there.write_bytes(data)
        there.chmod(entry.mode)
    directory.chmod(_MODE_DIRECTORY)
    return total


def pack(directory: Path, output: Path, kind: str) -> None:
    """Make the filesystem. CrashcartError when its program is missing or fails."""
    program = shutil.which(_PROGRAMS[kind], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        others = " or ".join(f"--format {name}" for name in FORMATS if name != kind)
        raise CrashcartError(f"no {_PROGRAMS[kind]} (of {_PACKAGES[kind]}): install it, or choose {others}")
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC0"}
    words = _commands(program, directory, output, kind)
    if kind == "ext4":
        environment |= {"E2FSPROGS_FAKE_TIME": "1", "MKE2FS_CONFIG": "/dev/null"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, errors="replace")
    if done.returncode:
        raise CrashcartError(f"{_PROGRAMS[kind]} fails: {(done.stderr or done.stdout).strip()[-500:]}")
    if kind == "ext4":
        ext4.settle(output)


def _commands(program: str, directory: Path, output: Path, kind: str) -> list[str]:
    if kind == "erofs":
        return [
            program,
            "-zlz4hc,12",
            "-C262144",
            "-T0",
            f"-U{_UUID}",
            "--all-root",
            "-x-1",
            str(output),
            str(directory),
        ]
    if kind == "squashfs":
        options = ["-comp", "zstd", "-noappend", "-all-root", "-no-xattrs", "-mkfs-time", "0", "-all-time", "0"]
        return [program, str(directory), str(output), *options, "-quiet", "-no-progress"]
    features = (
        "^metadata_csum,^has_journal,^resize_inode,^dir_index,^orphan_file,^uninit_bg,extent,filetype,sparse_super"
    )
    count, size = _measure(directory)
    blocks = size // 4096 + count + 1024
    options = ["-t", "ext4", "-b", "4096", "-I", "256", "-O", features, "-N", str(count + 64), "-m", "0", "-U", _UUID]
    options += ["-E", f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=0", "-d", str(directory), "-q", "-F"]
    return [program, *options, str(output), str(blocks + blocks // 8)]


def _measure(directory: Path) -> tuple[int, int]:
    """(files, bytes in whole blocks) below a directory."""
    count = size = 0
    for where, _, names in os.walk(directory):
        for path in (where, *(os.path.join(where, name) for name in names)):
            count += 1
            size += -(-os.lstat(path).st_size // 4096) * 4096
    return count, size
