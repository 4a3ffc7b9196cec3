"""Images to disk: an OCI archive that docker loads too, or a layout folder. The old file stays until then."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocicommon import mediatypes
from ocicommon.canonical import dumps

from smith import tree as t
from smith.compress import archived
from smith.content import BytesContent, Content
from smith.errors import SmithError
from smith.image import Built
from smith.tarwriter import END, data, header
from smith.tree import Node

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
ENDINGS = {".tar": "none", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}


def kind_of(path: str) -> str:
    """How the archive of that name is compressed: none, gzip, zstd; `folder` for any other name."""
    return next((kind for ending, kind in ENDINGS.items() if path.endswith(ending)), "folder")


def index_of(built: Built, tag: str, annotations: dict[str, str]) -> dict[str, Any]:
    """The index with its one descriptor."""
    own = dict(built.descriptor.get("annotations") or {})
    descriptor = {**built.descriptor, "annotations": {**own, mediatypes.REF_NAME: tag}}
    index = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": [descriptor]}
    if annotations:
        index["annotations"] = annotations
    return index


def docker_manifest(built: Built, name: str) -> list[dict[str, Any]]:
    """`docker load`'s manifest.json over the same blobs."""
    return [
        {
            "Config": _blob_path(built.manifest["config"]["digest"]),
            "RepoTags": [name],
            "Layers": [_blob_path(layer["digest"]) for layer in built.manifest["layers"]],
        }
    ]


def repository_name(path: str) -> str:
    """A repository name that docker takes, from the file's."""
    base = os.path.basename(os.path.normpath(path))
    for ending in (*ENDINGS, ".oci"):
        base = base.removesuffix(ending)
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in base.lower()).strip("-_.")
    while any(twice in kept for twice in ("..", "__", "-.", ".-", "_.", "._", "-_", "_-")):
        for twice in ("..", "__", "-.", ".-", "_.", "._", "-_", "_-"):
            kept = kept.replace(twice, "-")
    return kept or "image"


def write(built: Built, path: str, tag: str, annotations: dict[str, str]) -> None:
    """Write the image, or the index of several, to `path`. SmithError when the disk does not take it; then it is as
    it was. Docker's list cannot name an index, so with one there is none."""
    files = {
        "oci-layout": LAYOUT,
        "index.json": dumps(index_of(built, tag, annotations)),
    }
    if "layers" in built.manifest:
        files["manifest.json"] = dumps(docker_manifest(built, f"{repository_name(path)}:{tag}"))
    contents: dict[str, Content] = {name: BytesContent(body) for name, body in files.items()}
    contents |= {_blob_path(digest): built.blobs[digest] for digest in sorted(built.blobs)}
    try:
        if kind_of(path) == "folder":
            _write_folder(contents, path)
        else:
            _write_archive(contents, path, kind_of(path))
    except OSError as error:
        raise SmithError(f"{path}: cannot be written: {error.strerror}") from None


def _write_archive(contents: dict[str, Content], path: str, kind: str) -> None:
    def stream() -> Iterator[bytes]:
        for folder in ("blobs/", "blobs/sha256/"):
            yield header(folder, Node(t.DIRECTORY, 0o755))
        for name, content in contents.items():
            yield header(name, Node(t.FILE, 0o644, size=content.size))
            yield from data(content)
        yield END

    folder = os.path.dirname(path) or "."
    fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with os.fdopen(fd, "wb") as target:
            for chunk in archived(stream(), kind):
                target.write(chunk)
            target.flush()
            os.fchmod(target.fileno(), 0o666 & ~_umask())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _write_folder(contents: dict[str, Content], path: str) -> None:
    target = Path(path)
    if target.exists() and not (target / "oci-layout").is_file() and any(target.iterdir()):
        raise SmithError(f"{path}: is there and is no image layout; remove it or choose another name")
    parent = os.path.dirname(os.path.normpath(path)) or "."
    temporary = tempfile.mkdtemp(prefix=f".{os.path.basename(os.path.normpath(path))}.", dir=parent)
    try:
        os.makedirs(os.path.join(temporary, "blobs/sha256"))
        for name, content in contents.items():
            with open(os.path.join(temporary, name), "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
        os.chmod(temporary, 0o777 & ~_umask())
        if target.exists():
            shutil.rmtree(target)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
