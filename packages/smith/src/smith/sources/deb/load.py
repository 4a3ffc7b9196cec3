"""`type: deb`: from package names to the tree of their whole dependency closure."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from smith import nativedb
from smith.cache import Cache
from smith.errors import ConfigError, SmithError, VerificationError
from smith.fetch import Fetcher, in_parallel
from smith.progress import Progress
from smith.sources import Input, Package, SourceResult
from smith.sources.deb import configuration, effects, licence, packages, payload, policy, release
from smith.sources.deb.archive import Deb, open_deb
from smith.sources.deb.configuration import Archive
from smith.sources.deb.packages import Index, Record
from smith.sources.deb.universe import Universe
from smith.spec import Repository, Spec
from smith.tree import Tree

ARCHITECTURES = {
    "amd64": "amd64",
    "386": "i386",
    "arm64": "arm64",
    "arm64/v8": "arm64",
    "arm": "armhf",
    "arm/v7": "armhf",
    "arm/v6": "armel",
    "arm/v5": "armel",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loong64": "loong64",
    "mips64le": "mips64el",
}
IDENTITY = "base-files"
IDENTITY_FILES = frozenset(
    (
        "etc/os-release",
        "usr/lib/os-release",
        "etc/debian_version",
        "etc/lsb-release",
        "usr/share/doc/base-files/copyright",
    )
)
"""What tells a scanner the distribution. Nothing depends on that package, and every Debian system has it."""
ESSENTIAL = (
    "usr-is-merged", "base-files", "base-passwd", "bash", "bsdutils", "coreutils", "dash", "debianutils", "diffutils",
    "dpkg", "findutils", "grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "ncurses-base", "perl-base",
    "sed", "tar", "util-linux", "debconf",
)  # fmt: skip
"""What scripts may use without saying so (Policy 3.8), and debconf. Of theirs nothing is chosen by itself."""
_PLATFORMS = {value: name for name, value in ARCHITECTURES.items()} | {"arm64": "arm64", "armhf": "arm/v7"}


@dataclass(slots=True)
class Sources:
    """What the archives of a build offer, verified. `skipped` says which of the host's could not be asked."""

    indexes: list[Index]
    inputs: list[Input]
    pins: list[policy.Pin]
    skipped: list[str] = field(default_factory=list)


def architecture_of(platform: str) -> str:
    """Debian's word for a platform such as linux/arm64/v8; the machine's own for an empty one. ConfigError."""
    if not platform:
        return configuration.architecture()
    name = platform.removeprefix("linux/")
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"platform {platform!r} has no Debian architecture; known are {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]


def archives_of(repositories: Sequence[Repository], directory: str) -> list[Archive]:
    """The sources named in smith.yaml. ConfigError when one lacks what apt needs."""
    found = []
    for repository in repositories:
        if not repository.suites:
            raise ConfigError(
                f"repositories: {repository.url} needs `suites`, such as [bookworm] (or [./] for a flat one)"
            )
        keys = tuple(
            key if "-----BEGIN" in key else os.path.abspath(os.path.join(directory, key)) for key in repository.keys
        )
        for suite in repository.suites:
            if not suite.endswith("/") and not repository.components:
                raise ConfigError(f"repositories: {repository.url} {suite} needs `components`, such as [main]")
            options = {name.replace("_", "-"): value for name, value in repository.options.items()}
            found.append(
                Archive(
                    repository.url,
                    suite,
                    () if suite.endswith("/") else repository.components,
                    signed_by=keys,
                    trusted=options.get("trusted") == "yes",
                    check_valid_until=options.get("check-valid-until", "yes") != "no",
                    check_date=options.get("check-date", "yes") != "no",
                    by_hash=options.get("by-hash", "yes") != "no",
                    origin="repositories",
                )
            )
    return found


def open_sources(spec: Spec, architecture: str, fetcher: Fetcher) -> Sources:
    """Ask every archive for its indexes. An archive of the host's that does not answer is left out with a note.

    Raises VerificationError for a signature or checksum that does not hold, SmithError when nothing is left.
    """
    host = configuration.host()
    named = archives_of(spec.repositories, spec.directory)
    archives = named or [a for a in host.archives if not a.architectures or architecture in a.architectures]
    if not archives:
        raise SmithError("no package sources: this machine has no apt sources; name some under `repositories`")
    fetcher.credentials = host.credentials
    fetcher.proxies = host.proxies
    sources = Sources([], [], [] if named else policy.pins(host.preferences))

    def ask(archive: Archive) -> tuple[list[Index], list[Input]] | SmithError:
        try:
            found = release.fetch(archive, fetcher, host.keyrings)
            indexes, inputs = packages.fetch(found, architecture, fetcher)
            return indexes, [found.source, *inputs]
        except VerificationError:
            raise
        except SmithError as error:
            if named:
                raise
            return error

    for archive, answer in zip(archives, in_parallel(ask, archives, 8), strict=True):
        if isinstance(answer, SmithError):
            sources.skipped.append(str(answer))
            fetcher.progress.note(f"left out: {archive}: {answer}")
        else:
            sources.indexes += answer[0]
            sources.inputs += answer[1]
    if not sources.indexes:
        raise SmithError("no package source answers: " + "; ".join(sources.skipped or ["none serves " + architecture]))
    return sources


def load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The closure of `package` and `packages` (names, name=version, name/suite, or .deb files) as a tree.

    Raises SmithError, of the kind that fits: unknown package, no solution, no network, wrong signature or checksum.
    """
    # What was looked at in choosing is let go of before packages are opened: it is a fifth of a build's memory.
    return assemble(*_chosen(spec, cache, progress))


def _chosen(
    spec: Spec, cache: Cache, progress: Progress
) -> tuple[list[Record], dict[Record, str], Cache, str, list[Input], set[Record]]:
    """What `assemble` takes: the closure, fetched."""
    architecture = architecture_of(spec.platform)
    wanted = [name for name in (spec.package, *spec.packages) if name]
    fetcher = Fetcher(cache, progress, verify_tls=not spec.insecure, fast=spec.fast)
    local = [_local(os.path.join(spec.directory, name), cache) for name in wanted if name.endswith(".deb")]
    sources = open_sources(spec, architecture, fetcher)
    universe = Universe(sources.indexes, architecture, sources.pins, [record for record, _ in local])
    requests = [record for record, _ in local]
    for name in wanted:
        if not name.endswith(".deb"):
            try:
                requests.append(universe.choose(name))
            except SmithError as error:
                left_out = "".join(f" (left out: {text})" for text in sources.skipped)
                raise SmithError(f"{error}{left_out}") from None
    if spec.scripts == "userns":
        requests += [record for record in map(universe.candidate, ESSENTIAL) if record is not None]
    solved, _ = universe.solve(list(dict.fromkeys(requests)))
    chosen = list(solved)
    progress.note(f"{len(solved)} packages from {len(sources.indexes)} indexes")
    digests = dict(local)
    identity = universe.candidate(IDENTITY)
    if identity is not None and identity not in chosen:
        chosen.append(identity)
    records = [record for record in chosen if record not in digests]
    for record, digest in zip(records, fetch_records(records, fetcher), strict=True):
        digests[record] = digest
    partial = {identity} if identity is not None and identity not in solved else set()
    return chosen, digests, cache, architecture, sources.inputs, partial


def fetch_records(records: Sequence[Record], fetcher: Fetcher) -> list[str]:
    """Bring the packages into the cache in parallel, each checked against its index; their SHA-256."""
    for record in records:
        if not re.fullmatch(r"[0-9a-f]{64}", record.sha256):
            raise VerificationError(f"{record}: its index has no SHA256 for it")
    return fetcher.fetch_all([(record.url, record.sha256, record.size or None) for record in records])


def _local(path: str, cache: Cache) -> tuple[Record, str]:
    try:
        with open(path, "rb") as stream:
            sha256 = cache.put(stream, subject=path)
    except OSError as error:
        raise SmithError(f"{path}: cannot be read: {error.strerror}") from None
    stanza = open_deb(cache, sha256, path).control
    stanza["Filename"] = os.path.abspath(path)
    return Record(stanza.value("Package"), stanza.value("Version"), stanza, "file:/", None), sha256


def assemble(
    chosen: Sequence[Record],
    digests: dict[Record, str],
    cache: Cache,
    architecture: str,
    inputs: Sequence[Input],
    partial: Collection[Record] = (),
) -> SourceResult:
    """Put packages that are in the cache onto one tree, dependencies first, and add what their scripts would.

    Of the packages in `partial` only the files that name the distribution are taken.
    """
    tree = Tree()
    payload.merge_usr(tree)
    order = list(reversed(chosen))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        opened: list[Deb] = list(pool.map(lambda r: open_deb(cache, digests[r], str(r)), order))
    result = SourceResult(tree, inputs=list(inputs), platform=f"linux/{_PLATFORMS.get(architecture, architecture)}")
    given = [
        payload.add(tree, deb, record.name, IDENTITY_FILES if record in partial else None)
        for record, deb in zip(order, opened, strict=True)
    ]
    payload.settle_usr(tree)
    whole = [(record.name, deb) for record, deb in zip(order, opened, strict=True) if record not in partial]
    made = effects.apply(tree, whole)
    result.scripts = effects.scripts(whole)
    for record, deb, files in zip(order, opened, given, strict=True):
        files += made.get(record.name, [])
        result.packages.append(_package(tree, record, deb, digests[record], files))
        size = os.stat(cache.path(digests[record])).st_size
        kind = "identity" if record in partial else "package"
        result.inputs.append(Input(kind, record.url, digests[record], size))
    result.packages.sort(key=lambda package: package.name)
    return result


def _package(tree: Tree, record: Record, deb: Deb, sha256: str, files: list[str]) -> Package:
    source, source_version = record.source
    lines = deb.control.text(without=("Status", "Conffiles")).splitlines(keepends=True)
    lines.insert(1, "Status: install ok installed\n")
    conffiles = []
    for name in deb.conffiles:
        node = tree.walk(name.lstrip("/")).node if name.startswith("/") else None
        if node is not None and node.content is not None:
            conffiles.append(f" {name} {nativedb.digest(node.content, 'md5').hex()}\n")
    if conffiles:
        lines += ["Conffiles:\n", *conffiles]
    return Package(
        name=record.name,
        version=record.version,
        arch=record.architecture,
        family="deb",
        files=tuple(files),
        source=source,
        source_version=source_version,
        licence=licence.of(_copyright(tree, record.name)),
        url=record.url,
        sha256=sha256,
        metadata="".join(lines).encode("utf-8", "surrogateescape"),
    )


def _copyright(tree: Tree, name: str) -> str:
    node = tree.walk(f"usr/share/doc/{name}/copyright").node
    if node is None or node.content is None:
        return ""
    return node.content.read_at(0, 1 << 20).decode("utf-8", "replace")
