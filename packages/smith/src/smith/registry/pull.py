"""Images from a registry into an OCI archive or layout folder. Nothing appears under its name before it is whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocicommon import mediatypes
from ocicommon import platform as platforms
from ocicommon.canonical import dumps
from ocicommon.digest import parse as parse_digest
from ocicommon.errors import InvalidDigest, InvalidPlatform
from ocicommon.reference import Reference

from smith import tree as t
from smith.archive import LAYOUT, kind_of
from smith.compress import archived
from smith.content import RegionContent
from smith.errors import SmithError, UsageError
from smith.image import ARTIFACT, ARTIFACT_TYPE, COMPRESSION
from smith.progress import Progress, Silent
from smith.registry import referrers
from smith.registry.address import Address
from smith.registry.client import Manifest, Options, Registry, open_registry
from smith.registry.download import fetch
from smith.registry.errors import Mismatch, RegistryError
from smith.tarwriter import END, header
from smith.tree import Node

PARALLEL = 4
_DEPTH = 4
_MANY = 4096
_MANIFEST_BYTES = 16 << 20
_BLOB_BYTES = 1 << 50
"""More than any disk holds, and less than what overflows in an offset."""
Check = Callable[[Registry, str], object]


@dataclass
class Plan:
    """What belongs to an image: the manifests as bytes, the blobs as descriptors, each once, in order of first use."""

    top: dict[str, Any]
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the blobs."""
        return sum(int(blob["size"]) for blob in self.blobs.values())


@dataclass(frozen=True)
class Pulled:
    """What was pulled: the reference, the descriptor of the image or index, the file, and how many bytes of blobs."""

    reference: str
    descriptor: dict[str, Any]
    path: str
    size: int


def pull(
    target: str | Address | Reference,
    path: str | os.PathLike[str],
    *,
    platform: str | None = None,
    all_platforms: bool = False,
    check: Check | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """The image at `target` into `path`: an archive if it ends in .tar, .tar.gz or .tgz, else a layout folder.

    From an index the image for `platform` (this machine's if None) is taken, or all of them with the index. `check` is
    called with the digest that the reference names, before anything else is fetched; what it raises ends the pull.
    Raises UsageError, NotFound, Denied, Mismatch, RegistryError, SmithError if the disk does not take it.
    """
    progress = progress or Silent()
    with open_registry(target, options) as registry:
        made = plan(registry, platform=platform, all_platforms=all_platforms, check=check)
        task = progress.start(f"pulling {registry.address.reference.familiar()}", made.size)
        try:
            save(registry, made, os.fspath(path), task.advance)
        except OSError as error:
            raise SmithError(f"{os.fspath(path)}: cannot be written: {error.strerror or error}") from None
        finally:
            task.done()
        return Pulled(str(registry.address), made.top, os.fspath(path), made.size)


def plan(
    registry: Registry, *, platform: str | None = None, all_platforms: bool = False, check: Check | None = None
) -> Plan:
    """What has to be fetched for the image that the registry's address names; fetches its manifests."""
    reference = registry.address.reference
    manifest = registry.manifest(reference.version)
    if check is not None:
        check(registry, manifest.digest)
    if manifest.media_type in mediatypes.INDEXES and not all_platforms:
        wanted = _platform(platform)
        for _ in range(_DEPTH):
            entry = _choose(_entries(manifest, registry), wanted, registry)
            manifest = registry.manifest(_digest(entry, registry), expected=entry)
            if manifest.media_type not in mediatypes.INDEXES:
                break
    made = Plan(manifest.descriptor)
    _add(made, manifest, registry, _DEPTH)
    named = [found for digest in list(made.manifests) for found in _add_artifacts(made, digest, registry)]
    if named:
        made.top["annotations"] = {ARTIFACT: ",".join(sorted(named))}
    annotations = dict(made.top.get("annotations") or {})
    made.top["annotations"] = {**annotations, mediatypes.REF_NAME: reference.tag or "latest"}
    return made


def _platform(text: str | None) -> platforms.Platform:
    try:
        return platforms.parse(text) if text else platforms.host()
    except InvalidPlatform as error:
        raise UsageError(f"--platform: {error}") from None


def _choose(entries: list[dict[str, Any]], wanted: platforms.Platform, registry: Registry) -> dict[str, Any]:
    offered: list[tuple[platforms.Platform, dict[str, Any]]] = []
    for entry in entries:
        said = entry.get("platform")
        if isinstance(said, dict):
            names = [str(said.get(key) or "") for key in ("os", "architecture", "variant")]
            offered.append((platforms.normalize(*names), entry))
    found = platforms.select(wanted, offered)
    if found is None and len(entries) == 1 and not offered:
        return entries[0]
    if found is None:
        known = sorted({str(each) for each, _ in offered if each.os != "unknown"})
        offer = ", ".join(known) or "no platform"
        raise UsageError(f"{registry.address}: is not for {wanted}, but for {offer}: choose by --platform")
    return found


def _entries(manifest: Manifest, registry: Registry) -> list[dict[str, Any]]:
    entries = json.loads(manifest.content).get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RegistryError(f"{registry.address}: the index {manifest.digest} has no list of manifests")
    return entries


def _digest(descriptor: Any, registry: Registry) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    try:
        if not isinstance(digest, str):
            raise InvalidDigest(f"{digest!r} is not a digest")
        parse_digest(digest)
    except InvalidDigest as error:
        raise RegistryError(f"{registry.address}: {error}") from None
    return digest


def _add(made: Plan, manifest: Manifest, registry: Registry, depth: int) -> None:
    if manifest.digest in made.manifests:
        return
    if len(made.manifests) >= _MANY or not depth:
        raise RegistryError(f"{registry.address}: its indexes hold too many manifests")
    made.manifests[manifest.digest] = manifest.content
    if sum(map(len, made.manifests.values())) > _MANIFEST_BYTES:
        raise RegistryError(f"{registry.address}: its manifests have more than {_MANIFEST_BYTES} bytes")
    if manifest.media_type in mediatypes.INDEXES:
        for entry in _entries(manifest, registry):
            _add(made, registry.manifest(_digest(entry, registry), expected=entry), registry, depth - 1)
        return
    document = json.loads(manifest.content)
    layers = document.get("layers")
    for descriptor in [document.get("config"), *(layers if isinstance(layers, list) else [])]:
        digest = _digest(descriptor, registry)
        size = descriptor.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _BLOB_BYTES:
            raise RegistryError(f"{registry.address}: the blob {digest} has the size {size!r}")
        known = made.blobs.setdefault(digest, descriptor)
        if known["size"] != size:
            raise Mismatch(f"{registry.address}: the blob {digest} is said to have {size} and {known['size']} bytes")


def _add_artifacts(made: Plan, digest: str, registry: Registry) -> Iterator[str]:
    """The documents that smith pushed beside the image of that manifest, if it is one of smith's: their digest."""
    annotations = json.loads(made.manifests[digest]).get("annotations")
    if not isinstance(annotations, dict) or COMPRESSION not in annotations:
        return
    for entry in referrers.listed(registry, digest, ARTIFACT_TYPE)[:1]:
        artifact = registry.manifest(_digest(entry, registry), expected=entry)
        _add(made, artifact, registry, 1)
        yield artifact.digest


def _documents(registry: Registry, made: Plan) -> dict[str, bytes]:
    """The small files, by name: what makes the blobs an image layout, and for one image docker's list as well."""
    index = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": [made.top]}
    files = {"oci-layout": LAYOUT, "index.json": dumps(index)}
    top = json.loads(made.manifests[made.top["digest"]])
    if "layers" in top:
        reference = registry.address.reference
        tag = f"{reference.with_tag(reference.tag or 'latest').familiar()}"
        names = [_path(layer["digest"]) for layer in top["layers"]]
        files["manifest.json"] = dumps([{"Config": _path(top["config"]["digest"]), "RepoTags": [tag], "Layers": names}])
    return files | {_path(digest): content for digest, content in made.manifests.items()}


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def save(registry: Registry, made: Plan, path: str, advance: Callable[[int], None]) -> None:
    """Fetches the blobs, several at a time, straight to their places in the file (or folder) `path`."""
    kind = kind_of(path)
    if kind == "folder":
        _save_folder(registry, made, path, advance)
        return
    files = _documents(registry, made)
    parent = os.path.dirname(path) or "."
    with _temporary(parent, path) as temporary:
        fd = os.open(temporary, os.O_RDWR | os.O_CLOEXEC)
        try:
            places, end = _lay_out(fd, files, made.blobs)

            def one(digest: str) -> None:
                fetch(registry, made.blobs[digest], _writer(fd, places[digest]), advance)

            in_parallel(registry, one, list(made.blobs))
            if kind != "none":
                with _temporary(parent, path) as packed, open(packed, "wb") as target:
                    for piece in archived(RegionContent(fd, 0, end).chunks(), kind):
                        target.write(piece)
                    target.close()
                    os.rename(packed, temporary)
        finally:
            os.close(fd)
        os.chmod(temporary, 0o666 & ~_umask())
        os.rename(temporary, path)


def _lay_out(fd: int, files: Mapping[str, bytes], blobs: Mapping[str, dict[str, Any]]) -> tuple[dict[str, int], int]:
    """Writes everything of a tar but the blobs; the offset of each blob, and the tar's length."""
    position = 0
    places: dict[str, int] = {}

    def put(piece: bytes) -> None:
        nonlocal position
        os.pwrite(fd, piece, position)
        position += len(piece)

    algorithms = sorted({digest.partition(":")[0] for digest in blobs})
    for folder in ("blobs/", *(f"blobs/{name}/" for name in algorithms)):
        put(header(folder, Node(t.DIRECTORY, 0o755)))
    for name, content in files.items():
        put(header(name, Node(t.FILE, 0o644, size=len(content))) + content + bytes(-len(content) % 512))
    for digest, descriptor in blobs.items():
        size = int(descriptor["size"])
        put(header(_path(digest), Node(t.FILE, 0o644, size=size)))
        places[digest] = position
        position += size
        put(bytes(-size % 512))
    put(END)
    return places, position


def _writer(fd: int, base: int = 0) -> Callable[[int, memoryview], None]:
    def write(offset: int, piece: memoryview) -> None:
        while piece:
            count = os.pwrite(fd, piece, base + offset)
            piece, offset = piece[count:], offset + count

    return write


def in_parallel(registry: Registry, work: Callable[[str], None], items: list[str]) -> None:
    """`work` on every item, several at a time; the first failure, or an interruption, ends all others and is raised."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            futures = [pool.submit(work, item) for item in items]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            registry.transport.abort()
            raise


def _save_folder(registry: Registry, made: Plan, path: str, advance: Callable[[int], None]) -> None:
    target = Path(path)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "oci-layout").is_file())):
        raise SmithError(f"{path}: is there and is no image layout; remove it or choose another name")
    base = os.path.normpath(path)
    temporary = tempfile.mkdtemp(prefix=f".{os.path.basename(base)}.", dir=os.path.dirname(base) or ".")
    try:
        for name, content in _documents(registry, made).items():
            file = Path(temporary, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for digest in made.blobs:
            Path(temporary, _path(digest)).parent.mkdir(parents=True, exist_ok=True)

        def one(digest: str) -> None:
            with open(os.path.join(temporary, _path(digest)), "wb") as file:
                fetch(registry, made.blobs[digest], _writer(file.fileno()), advance)

        in_parallel(registry, one, list(made.blobs))
        os.chmod(temporary, 0o777 & ~_umask())
        if target.exists():
            shutil.rmtree(target)
        os.rename(temporary, base)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def _temporary(parent: str, path: str) -> Iterator[str]:
    """A new file beside `path` that is gone afterwards unless it was renamed."""
    fd, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=parent)
    os.close(fd)
    try:
        yield name
    finally:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
