"""Layers that were packed before: a build of which nothing changed takes its layer from the cache.

What a layer was made of is told without reading it: each file by where its bytes lie in something that is named by its
digest, or on this machine by inode, size and times, as make does. A file that changed a moment ago is not told apart
like that, and one such file makes the layer be packed anew.
"""

import hashlib
import json
import os

from smith import compress
from smith.cache import Cache
from smith.compress import Packed
from smith.content import RegionContent
from smith.errors import SmithError
from smith.tarwriter import tar
from smith.tree import Tree

KIND = "layer-1"
KEPT = 8
"""Layers that stay in the cache: those used last."""


def pack(tree: Tree, kind: str, cache: Cache, threads: int | None = None) -> Packed:
    """The tree as a layer: as `compress.pack` makes it, or as it was made before of the same."""
    key = key_of(tree, kind) if kind != "none" else ""
    found = _recall(cache, key) if key else None
    if found is not None:
        return found
    packed = compress.pack(tar(tree), kind, threads=threads, directory=str(cache.temporary))
    if key:
        _keep(cache, key, packed)
    return packed


def key_of(tree: Tree, kind: str) -> str:
    """What the layer's bytes depend on, as a digest; empty when a file cannot be told without reading it."""
    digest = hashlib.sha256(compress.name(kind).encode())
    first: dict[int, str] = {}
    for path, node in tree.sorted():
        told = ""
        if node.content is not None and first.setdefault(id(node), path) == path:
            told = node.content.identity()
            if not told:
                return ""
        entry = (path, first.get(id(node), ""), node.kind, node.mode, node.uid, node.gid, node.target, node.device)
        digest.update(f"{entry!r} {node.size} {told}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _recall(cache: Cache, key: str) -> Packed | None:
    path = cache.directory / "derived" / KIND / key
    try:
        said = json.loads(cache.recall(f"{KIND}-about", key) or b"")
        file = open(path, "rb")
        layer = RegionContent(file.fileno(), 0, int(said["size"]), file)
        if os.fstat(file.fileno()).st_size != layer.size or f"sha256:{layer.sha256}" != said["digest"]:
            return None
        os.utime(path)
        return Packed(layer, said["digest"], said["diffId"], layer.size, int(said["inflated"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(cache: Cache, key: str, packed: Packed) -> None:
    folder = cache.directory / "derived" / KIND
    path = folder / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # With a descriptor os.link follows the link of /proc (open(2), O_TMPFILE); by paths alone it does not.
        os.link(f"/proc/self/fd/{packed.content.fd}", path, src_dir_fd=packed.content.fd, follow_symlinks=True)
        path.chmod(0o444)
        about = {"digest": packed.digest, "diffId": packed.diff_id, "size": packed.size, "inflated": packed.inflated}
        cache.remember(f"{KIND}-about", key, json.dumps(about).encode())
        for old in sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            cache.forget(KIND, old.name)
            cache.forget(f"{KIND}-about", old.name)
    except (OSError, SmithError):
        # Another build did the same at the same moment, or the folder cannot hold files without names.
        return
