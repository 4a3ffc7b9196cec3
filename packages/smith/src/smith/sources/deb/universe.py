"""All that the indexes offer, as the solver sees it: Debian's relations turned into choices of packages (Policy 7)."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence

from smith.errors import SmithError
from smith.problem import Candidate, Need, Solution
from smith.solver import solve
from smith.sources.deb import policy, version
from smith.sources.deb.control import Relation
from smith.sources.deb.packages import Index, Record

_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}


class Universe:
    """Candidates by name, found as they are asked for. `local` records (given files) go before the indexes."""

    def __init__(
        self,
        indexes: Sequence[Index],
        architecture: str,
        pins: Sequence[policy.Pin] = (),
        local: Sequence[Record] = (),
        recommends: bool = False,
    ) -> None:
        self._indexes = indexes
        self._architecture = architecture
        self._pins = list(pins)
        self._local = {record.name: record for record in local}
        self._recommends = recommends
        self._candidates: dict[str, Record | None] = {}
        self._numbers: dict[str, int] = {}
        self._records: list[Record] = []
        self._looked: dict[int, Candidate] = {}

    def versions(self, name: str) -> list[Record]:
        """Every version on offer for this architecture."""
        found = [record for index in self._indexes for record in index.named(name)]
        return [record for record in found if record.architecture in (self._architecture, "all")]

    def candidate(self, name: str) -> Record | None:
        """The version of the package `name` that would be installed."""
        if name not in self._candidates:
            self._candidates[name] = self._local.get(name) or policy.candidate(self.versions(name), self._pins)
        return self._candidates[name]

    def choose(self, request: str) -> Record:
        """The candidate for `name`, `name=version` (globs allowed) or `name/suite`; remembered for the whole solve.

        SmithError with near names when there is none.
        """
        name, kind, wanted = _split(request)
        record = self.candidate(name)
        if kind:
            matching = [r for r in self.versions(name) if _fits(r, kind, wanted)]
            if not matching and self.versions(name):
                have = ", ".join(sorted({f"{r.version} ({_suite(r)})" for r in self.versions(name)}))
                raise SmithError(f"{request}: no such version; the sources have {name} {have}")
            record = max(matching, key=lambda r: version.key(r.version), default=None)
            self._candidates[name] = record
        if record is None:
            providers = self._providers(Relation(name))
            if len(providers) == 1:
                return providers[0]
            raise SmithError(self._unknown(name, providers))
        return record

    def solve(self, requests: Sequence[Record]) -> tuple[list[Record], Solution]:
        """The records to install for these, in the order found. SmithError when they do not go together."""
        solution = solve([self._number(record) for record in requests], self._look)
        return [self._records[number] for number in solution.chosen], solution

    def _number(self, record: Record) -> int:
        number = self._numbers.get(record.name)
        if number is None:
            number = self._numbers[record.name] = len(self._records)
            self._records.append(record)
        return number

    def _look(self, number: int) -> Candidate:
        if number not in self._looked:
            record = self._records[number]
            groups = record.relations("Pre-Depends", "Depends", *(("Recommends",) if self._recommends else ()))
            optional = record.relations("Recommends") if self._recommends else []
            needs = []
            for group in groups:
                need = self._need(group)
                if need.choices or group not in optional:
                    needs.append(need)
            excluded = [
                self._number(other)
                for group in record.relations("Conflicts", "Breaks")
                for other in self._targets(group[0])
                if other.name != record.name
            ]
            self._looked[number] = Candidate(str(record), tuple(needs), tuple(dict.fromkeys(excluded)))
        return self._looked[number]

    def _need(self, group: tuple[Relation, ...]) -> Need:
        choices: list[int] = []
        for relation in group:
            for record in self._targets(relation):
                number = self._number(record)
                if number not in choices:
                    choices.append(number)
        return Need(tuple(choices), " | ".join(map(str, group)))

    def _targets(self, relation: Relation) -> list[Record]:
        """Candidates that satisfy a relation: the package of that name, then its providers by priority and name."""
        if relation.qualifier not in ("", "any", "native", self._architecture):
            return []
        found = []
        real = self.candidate(relation.name)
        if real is not None and (
            not relation.operator or version.satisfies(real.version, relation.operator, relation.version)
        ):
            found.append(real)
        return found + [record for record in self._providers(relation) if record is not real]

    def _providers(self, relation: Relation) -> list[Record]:
        names = {name for index in self._indexes for name in index.providers(relation.name)}
        names |= {r.name for r in self._local.values() if any(p.name == relation.name for p in r.provides)}
        found = []
        for name in names:
            record = self.candidate(name)
            if record is not None and any(_provides(provided, relation) for provided in record.provides):
                found.append(record)
        return sorted(found, key=lambda r: (_PRIORITIES.get(r.stanza.value("Priority"), 3), r.name))

    def _unknown(self, name: str, providers: list[Record]) -> str:
        if providers:
            return f"{name} is a virtual package: name one of {', '.join(r.name for r in providers[:8])}"
        near = difflib.get_close_matches(name, {n for index in self._indexes for n in index.near(name)}, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"{name}: no source has a package of that name for {self._architecture}{hint}"


def _provides(provided: Relation, relation: Relation) -> bool:
    if provided.name != relation.name:
        return False
    if not relation.operator:
        return True
    return bool(provided.operator) and version.satisfies(provided.version, relation.operator, relation.version)


def _split(request: str) -> tuple[str, str, str]:
    for mark in ("=", "/"):
        name, found, wanted = request.partition(mark)
        if found:
            return name.partition(":")[0], mark, wanted
    return request.partition(":")[0], "", ""


def _suite(record: Record) -> str:
    return record.release.archive.suite if record.release else "local file"


def _fits(record: Record, kind: str, wanted: str) -> bool:
    if kind == "=":
        return fnmatch.fnmatchcase(record.version, wanted)
    if record.release is None:
        return False
    fields = record.release.fields
    return wanted in (record.release.archive.suite, fields.value("Suite"), fields.value("Codename"))
