"""All that the repositories offer, as the solver sees it: apk's dependencies turned into choices of packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from smith.errors import SmithError
from smith.problem import Candidate, Need
from smith.solver import solve
from smith.sources.apk import version
from smith.sources.apk.repository import Dependency, Index, Record, dependencies


class Universe:
    """Candidates by name, found as they are asked for. `local` records (given files) go before the repositories."""

    def __init__(self, indexes: Sequence[Index], architecture: str, local: Sequence[Record] = ()) -> None:
        self._indexes = indexes
        self._architecture = architecture
        self._local = {record.name: record for record in local}
        self._candidates: dict[str, Record | None] = {}
        self._numbers: dict[str, int] = {}
        self._records: list[Record] = []
        self._looked: dict[int, Candidate] = {}

    def versions(self, name: str) -> list[Record]:
        """Every version on offer."""
        return [record for index in self._indexes for record in index.named(name)]

    def candidate(self, name: str) -> Record | None:
        """The version of the package `name` that would be installed: the newest."""
        if name not in self._candidates:
            newest = max(self.versions(name), key=lambda r: version.key(r.version), default=None)
            self._candidates[name] = self._local.get(name, newest)
        return self._candidates[name]

    def choose(self, request: str) -> Record:
        """The record for `name` or `name=1.2-r0`, `name~1.2`, `name<2`; remembered for the whole solve. SmithError."""
        wanted = dependencies(request, request)[0]
        record = self.candidate(wanted.name)
        if wanted.operator:
            versions = self.versions(wanted.name)
            fitting = [r for r in versions if version.satisfies(r.version, wanted.operator, wanted.version)]
            if versions and not fitting:
                have = ", ".join(sorted({r.version for r in versions}))
                raise SmithError(f"{request}: no such version; the repositories have {wanted.name} {have}")
            record = max(fitting, key=lambda r: version.key(r.version), default=None)
            self._candidates[wanted.name] = record
        if record is not None:
            return record
        providers = self._targets(wanted)
        if len(providers) == 1:
            return providers[0]
        if providers:
            raise SmithError(
                f"{wanted.name} is provided by several: name one of {', '.join(r.name for r in providers)}"
            )
        near = difflib.get_close_matches(
            wanted.name, {n for index in self._indexes for n in index.near(wanted.name)}, 3
        )
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise SmithError(f"{request}: no repository has a package of that name for {self._architecture}{hint}")

    def solve(self, requests: Sequence[Record]) -> list[Record]:
        """The records to install for these, in the order found. SmithError when they do not go together."""
        wanted = list(requests)
        while True:
            solution = solve([self._number(record) for record in wanted], self._look)
            chosen = [self._records[number] for number in solution.chosen]
            more = self._triggered(chosen)
            if not more:
                return chosen
            wanted += more

    def _triggered(self, chosen: list[Record]) -> list[Record]:
        """Records whose install_if holds now (apk-package(5)), sorted by name."""
        names = {name for record in chosen for index in self._indexes for name in index.providers(f"if:{record.name}")}
        found = []
        for record in map(self.candidate, sorted(names - {record.name for record in chosen})):
            if record is not None and record.install_if and all(_met(each, chosen) for each in record.install_if):
                found.append(record)
        return found

    def _number(self, record: Record) -> int:
        number = self._numbers.get(record.name)
        if number is None:
            number = self._numbers[record.name] = len(self._records)
            self._records.append(record)
        return number

    def _look(self, number: int) -> Candidate:
        if number not in self._looked:
            record = self._records[number]
            needs, excludes = [], []
            for dependency in record.depends:
                found = [self._number(target) for target in self._targets(dependency) if target is not record]
                if dependency.conflict:
                    excludes += found
                elif not _own(record, dependency):
                    needs.append(Need(tuple(found), str(dependency)))
            self._looked[number] = Candidate(str(record), tuple(needs), tuple(excludes))
        return self._looked[number]

    def _targets(self, dependency: Dependency) -> list[Record]:
        """Candidates that satisfy a dependency: the package of that name, then providers by priority and name."""
        found = []
        real = self.candidate(dependency.name)
        if real is not None and _holds(real.version, dependency):
            found.append(real)
        names = {name for index in self._indexes for name in index.providers(dependency.name)}
        names |= {r.name for r in self._local.values() if any(p.name == dependency.name for p in r.provides)}
        others = [r for r in map(self.candidate, names) if r is not None and r is not real]
        providing = [r for r in others if any(_provided(p, dependency) for p in r.provides)]
        return found + sorted(providing, key=lambda r: (-r.priority, r.name))


def _holds(offered: str, dependency: Dependency) -> bool:
    return not dependency.operator or version.satisfies(offered, dependency.operator, dependency.version)


def _provided(provided: Dependency, dependency: Dependency) -> bool:
    if provided.name != dependency.name:
        return False
    return not dependency.operator or (bool(provided.version) and _holds(provided.version, dependency))


def _met(condition: Dependency, chosen: Sequence[Record]) -> bool:
    there = any(
        (record.name == condition.name and _holds(record.version, condition))
        or any(_provided(provided, condition) for provided in record.provides)
        for record in chosen
    )
    return there != condition.conflict


def _own(record: Record, dependency: Dependency) -> bool:
    return any(_provided(provided, dependency) for provided in record.provides)
