"""Images made by the tests, with Python's own tarfile, so that smith is never the judge of itself."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Entry = tuple[str, bytes | str | None] | tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def tar_of(entries: Iterable[Entry]) -> bytes:
    """A tar: (name, bytes) is a file, (name, text) a symlink, (name, None) a folder; TarInfo as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            first, data = entry
            if isinstance(first, tarfile.TarInfo):
                assert isinstance(data, bytes)
                first.size = len(data)
                archive.addfile(first, io.BytesIO(data))
                continue
            info = tarfile.TarInfo(first)
            if isinstance(data, bytes):
                info.size, info.mode = len(data), 0o755 if "/bin/" in f"/{first}" else 0o644
                archive.addfile(info, io.BytesIO(data))
            elif isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                archive.addfile(info)
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
    return buffer.getvalue()


@dataclass
class MadeImage:
    """Blobs and documents of an image, to be changed by a test before it is written."""

    layers: list[bytes]
    config: dict[str, Any] = field(default_factory=dict)
    compress: Callable[[bytes], bytes] = lambda data: gzip.compress(data, mtime=0)
    media_type: str = "application/vnd.oci.image.layer.v1.tar+gzip"
    tag: str = "latest"
    changes: dict[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """Name -> bytes of the members of the OCI archive."""
        found: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

        def blob(data: bytes, media_type: str) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            found[f"blobs/sha256/{digest}"] = data
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

        layers = [blob(self.compress(layer), self.media_type) for layer in self.layers]
        diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in self.layers]
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        config |= self.config
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": layers,
        }
        descriptor = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": self.tag}
        found["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()
        return found | self.changes

    def write(self, path: Path) -> Path:
        data = tar_of([(name, body) for name, body in self.files().items()])
        path.write_bytes(gzip.compress(data) if path.name.endswith("gz") else data)
        return path


@pytest.fixture
def make_tar() -> Callable[[Iterable[Entry]], bytes]:
    return tar_of


@pytest.fixture
def make_image() -> Callable[..., MadeImage]:
    def make(*layers: Iterable[Entry], **more: Any) -> MadeImage:
        return MadeImage([tar_of(entries) for entries in layers], **more)

    return make


@dataclass
class Smith:
    """The installed command, in a folder and with a cache of its own."""

    command: Path
    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self.command), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def yaml(self, text: str, name: str = "smith.yaml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def run_smith(smith: Path, tmp_path: Path) -> Smith:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return Smith(smith, tmp_path, environment)


@pytest.fixture(scope="session")
def busybox() -> bytes:
    """A static program to put into images."""
    path = shutil.which("busybox", path="/usr/bin:/bin")
    if path is None:
        pytest.skip("busybox is not installed")
    data = Path(path).read_bytes()
    if b"/ld-" in data[:4096]:
        pytest.skip("this busybox is not static")
    return data


@pytest.fixture
def tool() -> Callable[[str], str]:
    """The path of another program, or a skip."""

    def find(name: str) -> str:
        found = shutil.which(name, path=f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}")
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


def describe(layer: bytes) -> dict[str, tarfile.TarInfo]:
    """Name -> member of an uncompressed tar."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {member.name: member for member in archive}


@dataclass
class ReadImage:
    """An OCI archive as Python's own libraries read it."""

    index: dict[str, Any]
    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: list[bytes]
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        return str(self.index["manifests"][0]["digest"])

    def members(self) -> dict[str, tarfile.TarInfo]:
        return describe(self.layers[-1])

    def content(self, name: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.layers[-1])) as archive:
            stream = archive.extractfile(name)
            assert stream is not None
            return stream.read()


@pytest.fixture
def read_image() -> Callable[[Path], ReadImage]:
    def read(path: Path) -> ReadImage:
        with tarfile.open(path) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
        index = json.loads(files["index.json"])
        assert len(index["manifests"]) == 1

        def blob(descriptor: dict[str, Any]) -> bytes:
            data = files["blobs/sha256/" + descriptor["digest"].partition(":")[2]]
            assert len(data) == descriptor["size"]
            assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
            return data

        manifest = json.loads(blob(index["manifests"][0]))
        config = json.loads(blob(manifest["config"]))
        layers = []
        for descriptor, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
            data = blob(descriptor)
            data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            if data[:4] == b"\x28\xb5\x2f\xfd":
                import zstandard

                data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
            assert "sha256:" + hashlib.sha256(data).hexdigest() == diff_id
            layers.append(data)
        return ReadImage(index, manifest, config, layers, files)

    return read


@pytest.fixture(scope="session")
def elf_files() -> list[str]:
    """The real paths of this machine's own ELF files, those of the common folders first."""
    folders = ("/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64")
    listed = [os.path.join(folder, name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]
    # plugins lie deeper, and find what they need by other rules of their own
    deeper = [str(path) for path in Path("/usr/lib").glob("*/*/**/*.so*")]
    found: dict[str, None] = {}
    for name in (*sorted(listed), *sorted(deeper)):
        path = os.path.realpath(name)
        if path in found or not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    found[path] = None
        except OSError:
            continue
    return list(found)
