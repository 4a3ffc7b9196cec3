"""The packages of a package.json, as its lock file names them: fetched, verified, and none of their code run."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from smith import tree as t
from smith.applications import NPM, locked
from smith.cache import CHUNK, Cache
from smith.content import FileContent
from smith.errors import ConfigError, InputError, VerificationError
from smith.fetch import Fetcher, in_parallel, redacted
from smith.globs import match
from smith.hosttree import HostTree
from smith.layers import region
from smith.progress import Progress
from smith.sources import Input, SourceResult
from smith.sources.stored import plain_file
from smith.spec import Spec
from smith.tarindex import data_of, members
from smith.tree import Node, Tree

APPLICATION = "app"
LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
STRENGTH = ("sha512", "sha384", "sha256")
CPUS = {"amd64": "x64", "386": "ia32", "arm64": "arm64", "arm": "arm", "ppc64le": "ppc64", "s390x": "s390x"}


def add(spec: Spec, source: SourceResult, cache: Cache, progress: Progress) -> list[str]:
    """Put package.json, its `main` and `files`, and node_modules into /app; the paths. ConfigError, SmithError."""
    path = os.path.join(spec.directory, spec.package_json)
    package = _document(path, f"{spec.where('package-json')}: package-json")
    made = _own(package, path, source.tree)
    entries = list(wanted(_locked(package, path), source.platform, path))
    fetcher = Fetcher(cache, progress, verify_tls=not spec.insecure, fast=spec.fast)
    known = {(each.name, each.version, each.url): each.sha256 for each in locked(source, NPM) or ()}

    def have(entry: Wanted) -> str:
        if source.applications is None:
            return _fetch(fetcher, entry.url, entry.integrity)
        found = known.get((entry.name, entry.version, redacted(entry.url)))
        if found is None:
            raise VerificationError(f"{entry.name} {entry.version} of {path} is not in the lock file: run `smith lock`")
        return found

    digests = in_parallel(have, entries, 6, fetcher.stop)
    for entry, sha256 in zip(entries, digests, strict=True):
        made += _unpack(cache, sha256, entry.url, f"{APPLICATION}/{entry.place}", source.tree)
        size = os.stat(cache.path(sha256)).st_size
        source.inputs.append(Input(NPM, redacted(entry.url), sha256, size, entry.name, entry.version))
    progress.note(f"{len(entries)} packages of {path}")
    return made


def digest(spec: Spec) -> str:
    """The digest of npm's lock file; empty when there is none."""
    path = _lock_file(os.path.join(spec.directory, spec.package_json))
    if not path:
        return ""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Wanted(NamedTuple):
    """One package: the folder it goes to, below the application's, and what npm's lock file says of it."""

    place: str
    name: str
    version: str
    url: str
    integrity: str


def wanted(locked: dict[str, Any], platform: str, what: str) -> Iterator[Wanted]:
    """The packages that run: no development ones, none of other platforms."""
    for place, entry in sorted(locked.items()):
        if not place or not isinstance(entry, dict) or entry.get("dev") or entry.get("inBundle"):
            continue
        if not (_allows(entry.get("os"), "linux") and _allows(entry.get("cpu"), CPUS.get(platform.split("/")[1], ""))):
            continue
        url, integrity = entry.get("resolved"), entry.get("integrity")
        if entry.get("link") or not isinstance(url, str) or not isinstance(integrity, str):
            raise ConfigError(
                f"{what}: {place} has no address with an integrity in the lock file: put such a package into rootfs/"
            )
        if url.startswith("file:") and not url.startswith("file://"):
            url = f"file://{os.path.abspath(os.path.join(os.path.dirname(what), url[5:]))}"
        name = str(entry.get("name") or place.rpartition("node_modules/")[2])
        yield Wanted(t.clean(place), name, str(entry.get("version", "")), url, integrity)


def _allows(said: Any, own: str) -> bool:
    names = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    allowed = [name for name in names if not name.startswith("!")]
    return f"!{own}" not in names and (not allowed or own in allowed)


def _document(path: str, what: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{what}: there is no file {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is no object of JSON")
    return found


def _lock_file(path: str) -> str:
    """npm's lock file beside a package.json; empty when there is none."""
    folder = os.path.dirname(path)
    return next((p for p in (os.path.join(folder, name) for name in LOCKS) if os.path.isfile(p)), "")


def _locked(package: dict[str, Any], path: str) -> dict[str, Any]:
    lock = _lock_file(path)
    if not lock:
        if package.get("dependencies") or package.get("optionalDependencies"):
            raise ConfigError(f"{path}: has no package-lock.json beside it: run `npm install --package-lock-only`")
        return {}
    packages = _document(lock, path).get("packages")
    if not isinstance(packages, dict):
        raise ConfigError(f"{lock}: is of a form before npm 7: run `npm install --package-lock-only` with a newer one")
    return packages


def _own(package: dict[str, Any], path: str, tree: Tree) -> list[str]:
    host = HostTree(os.path.dirname(path) or ".")
    patterns = [os.path.basename(path), package.get("main") or "index.js"]
    patterns += package["files"] if isinstance(package.get("files"), list) else []
    made = []
    for pattern in patterns:
        for found in match(host, t.clean(str(pattern))):
            for each in (found, *host.descendants(found)):
                node = host[each]
                if node.is_file and "node_modules" not in each.split("/"):
                    made.append(tree.add(f"{APPLICATION}/{each}", node))
    return made


def _fetch(fetcher: Fetcher, url: str, integrity: str) -> str:
    """One package in the cache, verified as subresource integrity says; its SHA-256."""
    algorithm, _, encoded = max(
        (word.partition("-") for word in integrity.split() if word.partition("-")[0] in STRENGTH),
        key=lambda parts: -STRENGTH.index(parts[0]),
        default=("", "", ""),
    )
    if not algorithm:
        raise VerificationError(f"{redacted(url)}: its integrity {integrity!r} is none of {', '.join(STRENGTH)}")
    try:
        promised = base64.b64decode(encoded.partition("?")[0], validate=True)
    except ValueError:
        raise InputError(f"{redacted(url)}: its integrity {integrity!r} cannot be read") from None

    def produce(sink: BinaryIO) -> None:
        with fetcher.cache.incoming(subject=redacted(url)) as blob:
            fetcher.stream(url, blob)
            digest = hashlib.new(algorithm)
            with blob.written() as stream:
                while data := stream.read(CHUNK):
                    digest.update(data)
            if digest.digest() != promised:
                raise VerificationError(f"{redacted(url)}: is not what the lock file promises; nothing was kept")
        sink.write(blob.sha256.encode())

    key = f"{algorithm}-{promised.hex()}"
    sha256 = fetcher.cache.derive("npm-1", key, produce).read_text()
    if not fetcher.cache.has(sha256):
        fetcher.cache.forget("npm-1", key)
        sha256 = fetcher.cache.derive("npm-1", key, produce).read_text()
    return sha256


def _unpack(cache: Cache, sha256: str, url: str, place: str, tree: Tree) -> list[str]:
    """Files alone, without the folder that they are packed in, as npm takes them."""
    what = redacted(url)
    content = FileContent(plain_file(cache, sha256, what, limit=4 << 30), origin=f"plain {sha256}")
    made = []
    for member in members(content, what):
        _, slash, name = t.clean(member.name).partition("/")
        if member.kind == "0" and slash and name:
            node = Node(t.FILE, 0o755 if member.mode & 0o111 else 0o644, size=member.size)
            node.content = data_of(member, region(content, member.offset, member.stored))
            made.append(tree.add(f"{place}/{name}", node))
    return made
