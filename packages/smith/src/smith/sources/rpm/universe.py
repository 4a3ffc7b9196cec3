"""Solving rpm requests with libsolv: its own rules for versions, rich dependencies, obsoletes and file requires."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import solv

from smith.errors import InputError, SmithError
from smith.sources.rpm.repository import Repository
from smith.sources.stored import plain_file

_SELECTION = (
    solv.Selection.SELECTION_NAME
    | solv.Selection.SELECTION_PROVIDES
    | solv.Selection.SELECTION_CANON
    | solv.Selection.SELECTION_DOTARCH
    | solv.Selection.SELECTION_REL
    | solv.Selection.SELECTION_GLOB
    | solv.Selection.SELECTION_FILELIST
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One package to install. `repository` is None for a local file, whose path is then `location`."""

    name: str
    evr: str
    arch: str
    location: str
    algorithm: str
    checksum: str
    size: int | None
    licence: str
    source_rpm: str
    repository: Repository | None

    def __str__(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"


class Universe:
    """The packages of repositories and local files, for one architecture."""

    def __init__(self, repositories: Sequence[Repository], architecture: str, local: Sequence[str] = ()) -> None:
        self._architecture = architecture
        self._repositories = repositories
        self._local = local
        self._filelists = False
        self._build()

    def _build(self) -> None:
        self._pool = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        self._pool.setarch(self._architecture)
        self._owners: dict[int, Repository] = {}
        self._files: dict[int, str] = {}
        for repository in self._repositories:
            repo = self._pool.add_repo(repository.source.name)
            repo.priority, repo.subpriority = 99 - repository.source.priority, 1000 - repository.source.cost
            self._owners[repo.id] = repository
            _add(repo, repository, "primary")
            if self._filelists and "filelists" in repository.parts:
                _add(repo, repository, "filelists")
        if self._local:
            repo = self._pool.add_repo("local files")
            repo.priority = 200
            for path in self._local:
                before = {item.id for item in repo.solvables_iter()}
                _load(repo, _primary_of(path), None)
                self._files |= {item.id: path for item in repo.solvables_iter() if item.id not in before}
        self._pool.addfileprovides()
        self._pool.createwhatprovides()

    def solve(self, requests: Sequence[str], weak: bool = False) -> list[Chosen]:
        """What to install for names, name-version, globs, provides or files, in installing order. SmithError.

        File lists are read only when something needs a file that the packages' own summaries do not name.
        """
        answer = self._try(requests, weak)
        if isinstance(answer, str) and not self._filelists:
            self._filelists = True
            self._build()
            answer = self._try(requests, weak)
        if isinstance(answer, str):
            raise SmithError(answer)
        return answer

    def providing(self, wanted: Mapping[str, tuple[str, str]]) -> tuple[list[Chosen], list[str]]:
        """For each key the package that provides its relation, else its file; and the keys that none has."""
        found: dict[int, Chosen] = {}
        unknown = []
        for key, (relation, path) in wanted.items():
            name, _, value = relation.partition(" = ")
            identity = self._pool.rel2id(self._pool.str2id(name), self._pool.str2id(value), solv.REL_EQ)
            items = list(self._pool.whatprovides(identity))
            if not items:
                items = self._pool.select(path, solv.Selection.SELECTION_FILELIST).solvables()
            if items:
                found[items[0].id] = self._chosen(items[0])
            else:
                unknown.append(key)
        if unknown and not self._filelists:
            self._filelists = True
            self._build()
            return self.providing(wanted)
        return list(found.values()), unknown

    def newer(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Name -> newest version, for each name whose newest is above the version given (epoch:version-release)."""
        found: dict[str, solv.XSolvable] = {}
        for name, have in versions.items():
            selection = self._pool.select(
                f"{name} > {have}", solv.Selection.SELECTION_NAME | solv.Selection.SELECTION_REL
            )
            for item in selection.solvables():
                if item.name == name and (name not in found or item.evrcmp(found[name]) > 0):
                    found[name] = item
        return {name: str(item.evr) for name, item in found.items()}

    def _try(self, requests: Sequence[str], weak: bool) -> list[Chosen] | str:
        jobs = []
        for number in self._files:
            jobs.append(self._pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, number))
        for request in requests:
            selection = self._pool.select(request, _SELECTION)
            if selection.isempty():
                return self._unknown(request)
            jobs += selection.jobs(solv.Job.SOLVER_INSTALL)
        for repository in self._repositories:
            for pattern in repository.source.exclude:
                chosen = self._pool.select(pattern, _SELECTION)
                if not chosen.isempty():
                    jobs += chosen.jobs(solv.Job.SOLVER_LOCK)
        solver = self._pool.Solver()
        solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 0 if weak else 1)
        problems = solver.solve(jobs)
        if problems:
            texts = dict.fromkeys(
                str(rule.info().problemstr()) for problem in problems for rule in problem.findallproblemrules()
            )
            return "these packages cannot be together: " + "; ".join(list(texts)[:6])
        transaction = solver.transaction()
        transaction.order()
        return [self._chosen(item) for item in transaction.steps()]

    def _chosen(self, item: solv.XSolvable) -> Chosen:
        owner = self._owners.get(item.repo.id)
        location, _ = item.lookup_location()
        checksum = item.lookup_checksum(solv.SOLVABLE_CHECKSUM)
        size = item.lookup_num(solv.SOLVABLE_DOWNLOADSIZE)
        return Chosen(
            name=item.name,
            evr=item.evr,
            arch=item.arch,
            location=self._files.get(item.id, location or ""),
            algorithm=checksum.typestr() if checksum else "",
            checksum=checksum.hex() if checksum else "",
            size=int(size) or None,
            licence=item.lookup_str(solv.SOLVABLE_LICENSE) or "",
            source_rpm=item.lookup_sourcepkg() or "",
            repository=owner,
        )

    def _unknown(self, request: str) -> str:
        names = {item.name for item in self._pool.solvables_iter() if item.name[:1] == request[:1]}
        near = difflib.get_close_matches(request, names, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"{request}: no repository has a package of that name for {self._architecture}{hint}"


def _add(repo: solv.Repo, repository: Repository, kind: str) -> None:
    """Load a metadata file: from libsolv's own form in the cache, which is made at the first time."""
    sha256 = repository.metadata(kind)
    what = f"{repository.source.name}: {kind}"
    cache = repository.fetcher.cache
    if kind != "primary":
        _load(repo, plain_file(cache, sha256, what), "FL")
        return

    def produce(sink: BinaryIO) -> None:
        pool = solv.Pool()
        pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        fresh = pool.add_repo("fresh")
        _load(fresh, plain_file(cache, sha256, what), None)
        target = solv.xfopen_fd("", os.dup(sink.fileno()))
        if not fresh.write(target) or target.flush() is False:
            raise InputError(f"{what}: cannot be written to the cache")
        target.close()

    with open(cache.derive("solv-1", sha256, produce), "rb") as stream:
        handle = solv.xfopen_fd("", os.dup(stream.fileno()))
        if not repo.add_solv(handle):
            raise InputError(f"{what}: cannot be read back from the cache")
        handle.close()


def _load(repo: solv.Repo, source: Path | bytes, language: str | None) -> None:
    """Give libsolv plain XML by a descriptor: what it opens itself it must be able to decompress, else it crashes."""
    if isinstance(source, bytes):
        fd = os.memfd_create("rpm-md")
        os.write(fd, source)
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    handle = solv.xfopen_fd("", fd)
    loaded = repo.add_rpmmd(handle, language, solv.Repo.REPO_EXTEND_SOLVABLES if language else 0)
    handle.close()
    if not loaded:
        raise InputError(f"{repo.name}: the repository's metadata is damaged: {repo.pool.errstr}")


def _primary_of(path: str) -> bytes:
    """The primary.xml that a repository of this one file would have."""
    import createrepo_c  # 15 MB of libraries, for a file given by name alone

    try:
        package = createrepo_c.package_from_rpm(path)
    except (createrepo_c.CreaterepoCError, OSError) as error:
        raise InputError(f"{path}: not an .rpm file that can be read: {error}") from None
    body = createrepo_c.xml_dump_primary(package)
    spaces = 'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<metadata {spaces} packages="1">\n{body}</metadata>\n'.encode()
