"""The lock file: versions and digests of every input, so that a build next year is the same as today's.

`smith.lock` lies beside smith.yaml and is used whenever it is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocicommon import platform as platforms
from ocicommon.canonical import dumps

from smith import applications
from smith.errors import ConfigError
from smith.sources import Package, SourceResult
from smith.spec import Spec

if TYPE_CHECKING:
    pass

VERSION = 1
FAMILIES = ("deb", "rpm", "apk")
PACKAGE = ("package", "identity")
"""Kinds of inputs that are packages; of an `identity` package only the files that name the distribution are taken."""
DEBUG = "debug"
"""The kind of packages with debug files, which are looked for after all others were put onto the tree."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One locked input. `record` is the index's own text about a package, where its file does not say it all."""

    kind: str
    url: str
    sha256: str
    size: int
    name: str = ""
    version: str = ""
    arch: str = ""
    source: str = ""
    source_version: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file. `request` is the digest of what it was made for, `made` a UTC time as 20260131T235959Z."""

    type: str
    platform: str
    request: str
    made: str
    entries: tuple[Entry, ...]
    vendor: str = ""

    def packages(self) -> list[Entry]:
        """The locked packages, in the order that they are put onto the tree."""
        return [entry for entry in self.entries if entry.kind in PACKAGE]

    def as_packages(self) -> list[Package]:
        """The same as packages without files."""
        return [
            Package(e.name, e.version, e.arch, self.type, source=e.source, source_version=e.source_version)
            for e in self.packages()
        ]

    def files(self) -> list[Entry]:
        """What is fetched by digest, and can be kept: the packages, those with debug files, those of an application."""
        return [entry for entry in self.entries if entry.kind in (*PACKAGE, DEBUG, *applications.KINDS)]

    def applications(self) -> list[Entry]:
        """The locked packages of `requirements` and `package-json`."""
        return [entry for entry in self.entries if entry.kind in applications.KINDS]


def path_of(spec: Spec) -> str:
    """`smith.lock` for smith.yaml; `NAME.lock` for another NAME.yaml, in the same folder."""
    name = os.path.basename(spec.file).rpartition(".")[0] or "smith"
    return os.path.join(spec.directory, f"{name}.lock")


def request_of(spec: Spec) -> str:
    """The digest of all in smith.yaml that decides which inputs a build has."""
    repositories = [asdict(replace(item, options=dict(item.options))) for item in spec.repositories]
    wanted = {
        "type": spec.type,
        "package": spec.package,
        "packages": list(spec.packages),
        "platform": _plain_platform(spec.platform),
        "mock": [spec.mock.config, list(spec.mock.deps), *(["debuginfo"] if spec.mock.debuginfo else [])],
        "repositories": [{k: list(v) if isinstance(v, tuple) else v for k, v in r.items()} for r in repositories],
        **({"scripts": spec.scripts} if spec.scripts != "none" else {}),
        **applications.asked(spec),
    }
    return hashlib.sha256(dumps(wanted)).hexdigest()


def _plain_platform(text: str) -> str:
    """linux/amd64 for amd64, too."""
    try:
        return str(platforms.parse(text)) if text else ""
    except ValueError:
        return text


def make(spec: Spec, result: SourceResult, now: float | None = None) -> Lock:
    """The lock of what a build of this spec loaded."""
    known = {package.sha256: package for package in result.packages}
    entries = []
    for item in result.inputs:
        package = known.get(item.sha256) if item.kind in (*PACKAGE, DEBUG) else None
        entries.append(
            Entry(
                item.kind,
                relative(item.url, spec.directory),
                item.sha256,
                item.size,
                package.name if package else item.name,
                package.version if package else item.version,
                package.arch if package else "",
                package.source if package else "",
                package.source_version if package else "",
                package.metadata.decode("utf-8", "surrogateescape") if package and package.family == "apk" else "",
            )
        )
    made = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if now is None else now))
    return Lock(spec.type, result.platform, request_of(spec), made, tuple(entries))


def write(lock: Lock, path: str) -> None:
    """Write the file of one platform, whole or not at all."""
    write_all([lock], path)


def write_all(locks: Sequence[Lock], path: str) -> None:
    """Write the file of one platform or several, whole or not at all."""
    documents = [_document(lock) for lock in locks]
    data = documents[0] if len(documents) == 1 else {"platforms": documents}
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as stream:
            json.dump({"lockVersion": VERSION, **data}, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _document(lock: Lock) -> dict[str, Any]:
    data = {
        "type": lock.type,
        "platform": lock.platform,
        "request": lock.request,
        "made": lock.made,
        "vendor": lock.vendor,
        "inputs": [{key: value for key, value in asdict(entry).items() if value} for entry in lock.entries],
    }
    return {key: value for key, value in data.items() if value}


def read(path: str) -> list[Lock]:
    """Read it: one lock for each platform. ConfigError for what is no lock file of this version."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            data = json.load(stream)
        if data["lockVersion"] != VERSION:
            raise ConfigError(f"{path}: is a lock file of version {data['lockVersion']}; this smith knows {VERSION}")
        documents = data.get("platforms", [data])
        if not documents:
            raise ValueError("it is for no platform")
        return [_lock(document) for document in documents]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: is no lock file: {error}; make a new one by `smith lock`") from None


def _lock(data: Any) -> Lock:
    """One platform's lock. ValueError, KeyError, TypeError, AttributeError for anything else."""
    entries = []
    for item in data.get("inputs", []):
        entry = Entry(**{**item, "size": int(item.get("size", 0))})
        if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
            raise ValueError(f"{entry.url} has the digest {entry.sha256!r}")
        entries.append(entry)
    fields = [str(data[name]) for name in ("type", "platform", "request", "made")]
    return Lock(fields[0], fields[1], fields[2], fields[3], tuple(entries), str(data.get("vendor", "")))


def find(spec: Spec) -> Lock | None:
    """The lock file beside smith.yaml, if there is one. ConfigError when it was made for another smith.yaml."""
    path = path_of(spec)
    if not os.path.exists(path):
        if spec.locked:
            raise ConfigError(f"{path}: is not there, and --locked builds from nothing else: run `smith lock`")
        return None
    locks = read(path)
    wanted = request_of(spec)
    found = next((lock for lock in locks if lock.request == wanted), None)
    if found is None and len(locks) > 1:
        names = ", ".join(lock.platform for lock in locks)
        raise ConfigError(
            f"{path}: has locks for {names}, and none of what {spec.file} asks for "
            f"{f'({spec.platform})' if spec.platform else '(choose by --platform)'}: run `smith lock` for it, too"
        )
    if found is None:
        raise ConfigError(
            f"{path}: was made for other packages, repositories or platforms than {spec.file} names, or for other "
            "requirements: run `smith lock`"
        )
    return found


def relative(url: str, directory: str) -> str:
    """File addresses below the folder of smith.yaml are kept relative to it, so that the folder can be moved."""
    base = f"file://{os.path.abspath(directory)}/"
    return "file:" + url[len(base) :] if url.startswith(base) else url


def absolute(url: str, directory: str) -> str:
    """The address that `relative` shortened."""
    if url.startswith("file:") and not url.startswith("file://"):
        return f"file://{os.path.abspath(os.path.join(directory, url[5:]))}"
    return url


def as_json(lock: Lock) -> dict[str, Any]:
    """The lock for --json."""
    return {
        "type": lock.type,
        "platform": lock.platform,
        "packages": [{"name": e.name, "version": e.version, "arch": e.arch} for e in lock.packages()],
        "applications": [{"kind": e.kind, "name": e.name, "version": e.version} for e in lock.applications()],
    }
