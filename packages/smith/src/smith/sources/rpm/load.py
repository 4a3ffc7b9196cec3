"""`type: rpm`: from package names to the tree of their whole dependency closure."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from smith.cache import Cache
from smith.errors import SmithError, VerificationError
from smith.fetch import in_parallel
from smith.progress import Progress
from smith.sources import Input, Package, Script, SourceResult, accounts, alternatives
from smith.sources.rpm import configuration, payload
from smith.sources.rpm import header as h
from smith.sources.rpm.configuration import Source
from smith.sources.rpm.payload import Rpm, open_rpm
from smith.sources.rpm.repository import Repository, open_repository
from smith.sources.rpm.universe import Chosen, Universe
from smith.spec import Spec
from smith.tree import Tree


def sources_of(spec: Spec, architecture: str) -> list[Source]:
    """smith.yaml's repositories, else those of mock.config, else this machine's. ConfigError, SmithError for none."""
    found = configuration.named(spec.repositories, spec.directory, architecture)
    if not found and spec.mock.config:
        found = configuration.mock(os.path.join(spec.directory, spec.mock.config), architecture)
    found = found or configuration.host(architecture)
    if not found:
        raise SmithError(
            "no package sources: this machine has no /etc/yum.repos.d; name some under `repositories` or in mock.config"
        )
    return found


def open_repositories(spec: Spec, cache: Cache, progress: Progress) -> tuple[str, list[Repository]]:
    """The architecture, and every repository opened and verified. SmithError."""
    architecture = configuration.architecture_of(spec.platform)
    repositories = in_parallel(
        lambda source: open_repository(source, cache, progress, insecure=spec.insecure, fast=spec.fast),
        sources_of(spec, architecture),
        6,
    )
    return architecture, repositories


def load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The closure of `package` and `packages` (names, name-version, provides, or .rpm files) as a tree.

    Raises SmithError, of the kind that fits: unknown package, no solution, no network, wrong signature or checksum.
    """
    architecture, repositories = open_repositories(spec, cache, progress)
    debugging = spec.mock.debug_deps if spec.mock.debuginfo else ()
    wanted = [name for name in (spec.package, *spec.packages, *spec.mock.deps, *debugging) if name]
    local = [os.path.join(spec.directory, name) for name in wanted if name.endswith(".rpm")]
    universe = Universe(repositories, architecture, local)
    chosen = universe.solve([name for name in wanted if not name.endswith(".rpm")])
    progress.note(f"{len(chosen)} packages from {len(repositories)} repositories")
    digests = in_parallel(lambda item: bring(item, cache), chosen, 6)
    inputs = [item for repository in repositories for item in repository.inputs]
    return assemble(chosen, digests, cache, architecture, inputs)


def bring(item: Chosen, cache: Cache) -> tuple[str, str]:
    """(address, SHA-256) of a package in the cache, verified."""
    repository: Repository | None = item.repository
    if repository is None:
        with open(item.location, "rb") as stream:
            sha256 = cache.put(stream, subject=item.location)
        with cache.open(sha256) as stream:
            payload.verify_payload(stream, h.read(stream, item.location), item.location)
        return f"file://{os.path.abspath(item.location)}", sha256
    if item.algorithm != "sha256":
        raise VerificationError(f"{item}: its repository has no sha256 for it ({item.algorithm or 'no checksum'})")
    if ".." in item.location.split("/"):
        raise VerificationError(f"{item}: its location {item.location!r} leaves the repository")
    return repository.package(item.location, item.checksum, item.size)


def assemble(
    chosen: Sequence[Chosen],
    fetched: Sequence[tuple[str, str]],
    cache: Cache,
    architecture: str,
    inputs: Sequence[Input],
) -> SourceResult:
    """Put packages that are in the cache onto one tree in installing order, and make what their scripts would."""
    tree = Tree()
    platform = f"linux/{configuration.PLATFORMS.get(architecture, architecture)}"
    result = SourceResult(tree, inputs=list(inputs), platform=platform)
    opened = in_parallel(
        lambda pair: open_rpm(cache, pair[1][1], str(pair[0])), list(zip(chosen, fetched, strict=True)), 4
    )
    for item, package in zip(chosen, opened, strict=True):
        if item.name == "filesystem":
            payload.add(tree, package, item.name)
    given = [payload.add(tree, package, item.name) for item, package in zip(chosen, opened, strict=True)]
    scripts = [
        (item.name, package.header.text(tag))
        for item, package in zip(chosen, opened, strict=True)
        for tag in (h.PREIN, h.POSTIN)
        if tag in package.header
    ]
    result.scripts = [
        script for item, package in zip(chosen, opened, strict=True) for script in scriptlets(item.name, package)
    ]
    made = alternatives.put(tree, scripts)
    for item, (url, sha256), package, files in zip(chosen, fetched, opened, given, strict=True):
        files += made.get(item.name, [])
        result.packages.append(package_of(item, package, url, sha256, files))
        result.inputs.append(Input("package", url, sha256, os.stat(cache.path(sha256)).st_size))
    accounts.put(tree, (text for _, text in scripts), accounts.RPM_PASSWD, accounts.RPM_GROUP)
    result.packages.sort(key=lambda package: (package.name, package.version))
    return result


def scriptlets(name: str, package: Rpm) -> list[Script]:
    """What rpm would run when the package is installed for the first time; `<lua>` is an interpreter of its own."""
    found = []
    for what, body, program in (("pre", h.PREIN, h.PREINPROG), ("post", h.POSTIN, h.POSTINPROG)):
        words = package.header.texts(program) if program in package.header else ["/bin/sh"]
        if body in package.header or program in package.header:
            text = package.header.text(body) if body in package.header else ""
            found.append(Script(name, what, text.encode(errors="surrogateescape"), ("1",), words[0]))
    return found


def package_of(item: Chosen, package: Rpm, url: str, sha256: str, files: Sequence[str]) -> Package:
    """The package as the result lists it."""
    source = re.match(r"^(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm$", package.header.text(h.SOURCERPM))
    return Package(
        name=item.name,
        version=item.evr,
        arch=item.arch,
        family="rpm",
        files=tuple(files),
        source=source.group(1) if source else item.name,
        source_version=source.group(2) if source else item.evr,
        licence=item.licence or package.header.text(h.LICENSE),
        url=url,
        sha256=sha256,
        metadata=package.header.blob,
    )
