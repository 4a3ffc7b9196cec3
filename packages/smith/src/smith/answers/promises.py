"""`smith verify`: whether an image keeps the promises of a microcontainer. Each broken one is a sentence."""

import json
import re
from collections.abc import Iterator

from smith import tree as t
from smith.answers import Known
from smith.elf import Linker
from smith.errors import InputError
from smith.image import ARTIFACT, COMPRESSION, EPOCH
from smith.imagefile import document

MOUNT_POINTS = ("dev", "proc", "sys")
WRITABLE = ("run", "write")


def broken(known: Known) -> list[str]:
    """The promises that do not hold. Digests and sizes were checked when the image was read."""
    return [
        *_documents(known),
        *_owners_and_modes(known),
        *_mount_points(known),
        *_licences(known),
        *_needs(known),
    ]


def _documents(known: Known) -> Iterator[str]:
    image = known.image
    if image.blobs.get("index.json") is not None:
        index, _ = document(image.blobs.get("index.json"), "index.json")
        count = len(index.get("manifests", []))
        if count != 1:
            yield f"index.json has {count} descriptors: skopeo and podman read an archive with one only"
    if not image.digest:
        yield "there is no OCI manifest: this is a docker-archive alone"
        return
    if COMPRESSION not in (image.manifest.get("annotations") or {}):
        yield f"the manifest does not say what compressed it (annotation {COMPRESSION})"
    if image.config.get("created") not in (None, EPOCH):
        yield f"the config says when it was created ({image.config.get('created')}), so its digest changes each time"
    if ARTIFACT not in image.annotations:
        yield "nothing says what it was built from (no artifact manifest)"
    user = str((image.config.get("config") or {}).get("User", ""))
    if not re.fullmatch(r"\d+:\d+", user):
        yield f"the config's user is {user!r}, not UID:GID"


def _owners_and_modes(known: Known) -> Iterator[str]:
    owners = {(node.uid, node.gid) for _, node in known.tree.items()}
    if len(owners) > 1:
        shown = ", ".join(f"{uid}:{gid}" for uid, gid in sorted(owners))
        yield f"the files have {len(owners)} owners ({shown})"
    for path, node in known.tree.sorted():
        if node.mtime:
            yield f"/{path} has a time ({node.mtime})"
        if node.kind in (t.CHAR, t.BLOCK, t.FIFO):
            yield f"/{path} is a {node.kind} device or pipe"
        elif node.is_file:
            if node.mode & 0o6000:
                yield f"/{path} has a setuid or setgid bit"
            elif node.mode not in (0o755, 0o644, 0o600):
                yield f"/{path} has the mode {node.mode:04o}"
        elif node.is_dir and node.mode != (0o1777 if path in WRITABLE else 0o755):
            yield f"/{path} has the mode {node.mode:04o}"
        if node.xattrs:
            yield f"/{path} has extended attributes ({', '.join(sorted(node.xattrs))})"


def _mount_points(known: Known) -> Iterator[str]:
    for path in (*MOUNT_POINTS, *WRITABLE):
        node = known.tree.walk(path).node
        if node is None or not node.is_dir:
            yield f"there is no folder /{path}"


def _licences(known: Known) -> Iterator[str]:
    listed = known.documents.get("application/vnd.smith.packages", b"").decode(errors="replace")
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    kept = {entry.get("detail", "") for entry in known.reasons.values() if entry.get("kind") == "licence"}
    families = {package.name: package.family for package in known.packages}
    for name in names:
        if name in kept or families.get(name) != "deb":
            continue
        if known.tree.resolve(f"usr/share/doc/{name}/copyright") is None:
            yield f"the package {name} gave files, and its copyright file is not there"


def _needs(known: Known) -> Iterator[str]:
    env = (known.image.config.get("config") or {}).get("Env") or []
    paths = next((e.partition("=")[2] for e in env if str(e).startswith("LD_LIBRARY_PATH=")), "")
    linker = Linker(known.tree, tuple(part for part in paths.split(":") if part))
    spec = json.loads(known.documents.get("application/vnd.smith.spec+json", b"{}"))
    for path, node in known.tree.sorted():
        if not node.is_file:
            continue
        try:
            linker.elf(path)
        except InputError as error:
            yield str(error)
    programs = [path for path, node in known.tree.items() if node.is_file and _is_program(linker, path)]
    result = linker.closure(programs)
    excluded = [str(each.get("glob", "")) for each in spec.get("excludes", []) if isinstance(each, dict)]
    for missing in result.missing:
        if not any(pattern.rpartition("/")[2] == missing.name for pattern in excluded):
            yield f"/{missing.path} needs {missing.name}, and it is not there"
    for path in sorted(set(result.configured_only)):
        if known.tree.resolve("etc/ld.so.cache") is None:
            yield f"{path} is found through ld.so.conf alone, and there is no ld.so.cache"


def _is_program(linker: Linker, path: str) -> bool:
    try:
        elf = linker.elf(path)
    except InputError:
        return False
    return elf is not None and bool(elf.interpreter)
