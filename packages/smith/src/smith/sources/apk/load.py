"""`type: apk`: from package names to the tree of their whole dependency closure."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence

from cryptography.hazmat.primitives.asymmetric import rsa

from smith import tree as t
from smith.cache import Cache
from smith.errors import ConfigError, InputError, SmithError
from smith.fetch import Fetcher, in_parallel
from smith.layers import KINDS, region
from smith.progress import Progress
from smith.sources import Input, Package, Script, SourceResult, accounts
from smith.sources.apk import archive, repository
from smith.sources.apk.archive import Apk, open_apk
from smith.sources.apk.repository import Index, Record
from smith.sources.apk.universe import Universe
from smith.spec import Repository, Spec
from smith.tarindex import Member, data_of, members
from smith.tree import Node, Tree

ARCHITECTURES = {
    "amd64": "x86_64",
    "386": "x86",
    "arm64": "aarch64",
    "arm64/v8": "aarch64",
    "arm": "armv7",
    "arm/v7": "armv7",
    "arm/v6": "armhf",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loong64": "loongarch64",
}
_PLATFORMS = {value: name for name, value in ARCHITECTURES.items()} | {"aarch64": "arm64", "armv7": "arm/v7"}
_MACHINES = {"i686": "x86", "armv7l": "armv7"}
IDENTITY = "alpine-release"
IDENTITY_FILES = frozenset(("etc/os-release", "usr/lib/os-release", "etc/alpine-release"))
"""What tells a scanner the distribution. Nothing depends on that package, and every Alpine system has it."""


def architecture_of(platform: str) -> str:
    """Alpine's word for a platform such as linux/arm64/v8; the machine's own for an empty one. ConfigError."""
    if not platform:
        return _MACHINES.get(os.uname().machine, os.uname().machine)
    name = platform.removeprefix("linux/")
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"platform {platform!r} has no Alpine architecture; known: {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]


def addresses(repositories: Sequence[Repository], etc: str = "/etc/apk") -> list[str]:
    """Addresses of the repositories named, else of the host's /etc/apk/repositories (tagged ones are left out)."""
    if repositories:
        found = []
        for item in repositories:
            base = item.url.rstrip("/")
            folders = [f"/{s}/{c}" for s in item.suites for c in item.components or ("main",)] or [""]
            found += [base + folder for folder in folders]
        return found
    try:
        with open(f"{etc}/repositories", encoding="utf-8") as stream:
            lines = [line.split("#")[0].strip() for line in stream]
    except OSError:
        raise SmithError(
            "no package sources: this machine has no /etc/apk/repositories; name some under `repositories`"
        ) from None
    return [line if "://" in line else f"file://{line}" for line in lines if line and not line.startswith("@")]


def keys_of(repositories: Sequence[Repository], directory: str, etc: str = "/etc/apk") -> dict[str, rsa.RSAPublicKey]:
    """Public keys by file name: those of `keys`, else the host's /etc/apk/keys."""
    paths = [os.path.join(directory, key) for item in repositories for key in item.keys]
    paths = paths or sorted(glob.glob(f"{etc}/keys/*.pub"))
    return archive.read_keys({os.path.basename(path): path for path in paths})


def open_indexes(spec: Spec, cache: Cache, progress: Progress) -> tuple[str, Fetcher, list[tuple[Index, Input]]]:
    """The architecture, and every repository's verified index. SmithError."""
    architecture = architecture_of(spec.platform)
    fetcher = Fetcher(cache, progress, verify_tls=not spec.insecure, fast=spec.fast)
    keys = keys_of(spec.repositories, spec.directory)
    answers = in_parallel(
        lambda url: repository.fetch_index(url, architecture, keys, fetcher), addresses(spec.repositories), 6
    )
    return architecture, fetcher, answers


def load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The closure of `package` and `packages` (names with or without versions, or .apk files) as a tree.

    Raises SmithError, of the kind that fits: unknown package, no solution, no network, wrong signature or checksum.
    """
    architecture, fetcher, answers = open_indexes(spec, cache, progress)
    wanted = [name for name in (spec.package, *spec.packages) if name]
    local = dict(repository.local(os.path.join(spec.directory, n), cache) for n in wanted if n.endswith(".apk"))
    universe = Universe([index for index, _ in answers], architecture, list(local))
    requests = [*local, *(universe.choose(name) for name in wanted if not name.endswith(".apk"))]
    chosen = universe.solve(list(dict.fromkeys(requests)))
    progress.note(f"{len(chosen)} packages from {len(answers)} repositories")
    partial: set[Record] = set()
    identity = universe.candidate(IDENTITY)
    if identity is not None and identity not in chosen:
        partial.add(identity)
        chosen.append(identity)
    fetched = [record for record in chosen if record not in local]
    digests = local | dict(zip(fetched, repository.fetch_packages(fetched, fetcher), strict=True))
    return assemble(chosen, digests, cache, architecture, [item for _, item in answers], partial)


def assemble(
    chosen: Sequence[Record],
    digests: dict[Record, str],
    cache: Cache,
    architecture: str,
    inputs: Sequence[Input],
    partial: Collection[Record] = (),
) -> SourceResult:
    """Put packages that are in the cache onto one tree, dependencies first, and make their users.

    Of the packages in `partial` only the files that name the distribution are taken.
    """
    tree = Tree()
    result = SourceResult(tree, inputs=list(inputs), platform=f"linux/{_PLATFORMS.get(architecture, architecture)}")
    scripts = []
    for record in reversed(chosen):
        package = open_apk(cache, digests[record], str(record))
        files = add(tree, package, record.name, str(record), IDENTITY_FILES if record in partial else None)
        scripts += [text.decode("utf-8", "replace") for text in package.scripts.values()]
        if record not in partial:
            result.scripts += _scripts(record, package)
        result.packages.append(_package(record, digests[record], files))
        size = os.stat(cache.path(digests[record])).st_size
        kind = "identity" if record in partial else "package"
        result.inputs.append(Input(kind, record.url, digests[record], size))
    accounts.put(tree, scripts, accounts.ALPINE_PASSWD, accounts.ALPINE_GROUP)
    result.packages.sort(key=lambda package: package.name)
    return result


def _scripts(record: Record, package: Apk) -> list[Script]:
    names = (".pre-install", ".post-install")
    found = [(name.lstrip("."), package.scripts[name]) for name in names if name in package.scripts]
    return [Script(record.name, name, body, (record.version,)) for name, body in found]


def add(tree: Tree, package: Apk, name: str, what: str, only: Collection[str] | None = None) -> list[str]:
    """Put one package's files into the tree; the paths of its files, links and empty directories. InputError."""
    given: dict[str, None] = {}
    directories: dict[str, None] = {}
    if package.data is None:
        return []
    try:
        for member in members(package.data, what):
            if only is None or t.clean(member.name) in only:
                path = _add(tree, package, member, name)
                (directories if member.kind == "5" else given)[path] = None
    except InputError as error:
        raise error if what in error.message else InputError(f"{what}: {error}") from None
    parents = {path.rpartition("/")[0] for path in (*given, *directories)}
    return [*given, *(path for path in directories if path and path not in parents)]


def _add(tree: Tree, package: Apk, member: Member, name: str) -> str:
    if member.kind == "1":
        return tree.link(member.name, t.clean(member.target))
    node = Node(
        KINDS.get(member.kind, t.FILE),
        member.mode,
        member.uid,
        member.gid,
        package=name,
        xattrs=member.xattrs or t.NO_XATTRS,
        device=member.device,
    )
    if node.is_link:
        node.target = member.target
    elif node.is_file and package.data is not None:
        node.size = member.size
        node.content = data_of(member, region(package.data, member.offset, member.stored))
    return tree.add(member.name, node)


def _package(record: Record, sha256: str, files: Sequence[str]) -> Package:
    fields = record.fields
    return Package(
        name=record.name,
        version=record.version,
        arch=record.architecture,
        family="apk",
        files=tuple(files),
        source=fields.get("o", record.name),
        source_version=record.version,
        licence=fields.get("L", ""),
        url=record.url,
        sha256=sha256,
        metadata=record.text.encode("utf-8", "surrogateescape"),
    )
