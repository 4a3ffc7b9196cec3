"""An image of tools for a user who may not mount it: unpacked once into a cache, then side-loaded as a directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile

from crashcart.errors import CrashcartError

# Filesystem: (the program that unpacks it, its Debian package, its words; {} is the image, [] the directory).
_UNPACKERS = {
    "squashfs": ("unsquashfs", "squashfs-tools", ["-no-progress", "-no-xattrs", "-force", "-dest", "[]", "{}"]),
    "erofs": ("fsck.erofs", "erofs-utils", ["--extract=[]", "--overwrite", "{}"]),
    "ext4": ("debugfs", "e2fsprogs", ["-R", "rdump / []", "{}"]),
}


def directory(path: str, filesystem: str, environ: dict[str, str]) -> str:
    """The directory with the image's files: found in the cache by the image's digest, or made. CrashcartError."""
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache")
    with open(path, "rb") as image:
        digest = hashlib.file_digest(image, "sha256").hexdigest()
    place = os.path.join(cache, "crashcart", digest)
    if os.path.isdir(place):
        return place
    name, package, words = _UNPACKERS[filesystem]
    program = shutil.which(name, path=f"{environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise CrashcartError(
            f"mounting {path} needs root, and unpacking it needs {name} (of {package}): install it, or use --dir"
        )
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    partial = tempfile.mkdtemp(prefix="partial.", dir=os.path.dirname(place))
    try:
        argv = [program, *(word.replace("{}", path).replace("[]", partial) for word in words)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-300:]
            raise CrashcartError(f"{name} cannot unpack {path} into {partial}: {said}")
        os.chmod(partial, 0o755)
        try:
            os.rename(partial, place)
        except OSError:
            if not os.path.isdir(place):  # else another session was first, with the same files
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place
