"""Small images made by hand, as OCI archives and layout folders."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

from ocicommon import mediatypes


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def layer(files: dict[str, bytes]) -> tuple[bytes, str]:
    """A gzip layer, and its diff id."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 1, mtime=0), digest_of(plain.getvalue())


class Layout:
    """Blobs by digest, and the descriptors of the index."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.entries: list[dict[str, Any]] = []

    def add(self, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = digest_of(content)
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content), **more}

    def image(self, *layers: tuple[bytes, str], architecture: str = "amd64", **manifest: Any) -> dict[str, Any]:
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
        }
        made = {
            "schemaVersion": 2,
            "mediaType": mediatypes.MANIFEST,
            "config": self.add(json.dumps(config).encode(), mediatypes.CONFIG),
            "layers": [self.add(content, mediatypes.LAYER_GZIP) for content, _ in layers],
            **manifest,
        }
        platform = {"os": "linux", "architecture": architecture}
        return self.add(json.dumps(made).encode(), mediatypes.MANIFEST, platform=platform)

    def index(self, *entries: dict[str, Any]) -> dict[str, Any]:
        made = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": list(entries)}
        return self.add(json.dumps(made).encode(), mediatypes.INDEX)

    def name(self, entry: dict[str, Any], tag: str = "latest", **annotations: str) -> None:
        self.entries.append({**entry, "annotations": {mediatypes.REF_NAME: tag, **annotations}})

    def files(self) -> dict[str, bytes]:
        index = {"schemaVersion": 2, "manifests": self.entries}
        named = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        return named | {f"blobs/{digest.replace(':', '/')}": content for digest, content in self.blobs.items()}

    def archive(self, path: Path) -> Path:
        with tarfile.open(path, "w") as tar:
            for name, content in self.files().items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    def folder(self, path: Path) -> Path:
        for name, content in self.files().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path


def simple(size: int = 3_000_000) -> tuple[Layout, dict[str, Any]]:
    """An image of two layers, the second of about `size` bytes."""
    layout = Layout()
    entry = layout.image(layer({"app": b"#!app\n"}), layer({"data": noise(size)}))
    layout.name(entry)
    return layout, entry


def read(path: Path) -> dict[str, bytes]:
    """The files of an archive or layout folder."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with tarfile.open(path) as tar:
        found = {}
        for member in tar:
            if member.isfile():
                stream = tar.extractfile(member)
                assert stream is not None
                found[member.name] = stream.read()
        return found


def index_of(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(read(path)["index.json"])["manifests"]
    return entries
