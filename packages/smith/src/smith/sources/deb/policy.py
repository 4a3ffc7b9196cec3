"""Which version of each package is the candidate: priorities, pins, NotAutomatic (apt_preferences(5))."""

from __future__ import annotations

import fnmatch
import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass

from smith.errors import ConfigError
from smith.sources.deb import control, version
from smith.sources.deb.packages import Record

DEFAULT = 500
NOT_AUTOMATIC = 1
BUT_AUTOMATIC_UPGRADES = 100


@dataclass(frozen=True, slots=True)
class Pin:
    """One stanza of the preferences. `packages` are names, globs or /regular expressions/."""

    packages: tuple[str, ...]
    kind: str
    value: str
    priority: int

    @property
    def general(self) -> bool:
        return self.packages == ("*",)

    def names(self, name: str) -> bool:
        return any(_matches(pattern, name) for pattern in self.packages)

    def holds(self, record: Record) -> bool:
        """Does the pin speak of this version?"""
        if self.kind == "version":
            return _matches(self.value, record.version)
        if record.release is None:
            return False
        if self.kind == "origin":
            host = urllib.parse.urlsplit(record.release.archive.url).hostname or ""
            return _matches(self.value.strip("\"'"), host)
        return all(_release_term(term.strip(), record) for term in self.value.split(",") if term.strip())


def pins(text: str, subject: str = "preferences") -> list[Pin]:
    """Read preferences. ConfigError for a stanza that says something else."""
    found = []
    for stanza in control.paragraphs(text, subject):
        if "Explanation" in stanza and "Package" not in stanza:
            continue
        kind, _, value = stanza.value("Pin").partition(" ")
        priority = stanza.value("Pin-Priority").strip()
        if kind not in ("release", "version", "origin") or not re.fullmatch(r"[+-]?\d+", priority):
            raise ConfigError(
                f"{subject}: a pin needs Package, Pin (release, version or origin) and Pin-Priority: "
                f"{stanza.value('Package')!r}, {stanza.value('Pin')!r}, {priority!r}"
            )
        packages = tuple(stanza.value("Package").split())
        found.append(Pin(packages, kind, value.strip(), int(priority)))
    return found


def priority(record: Record, rules: Iterable[Pin]) -> int:
    """The priority of one version: a pin of its name goes before a general one, that before the archive's own."""
    rules = list(rules)
    for rule in rules:
        if not rule.general and rule.names(record.name) and rule.holds(record):
            return rule.priority
    for rule in rules:
        if rule.general and rule.holds(record):
            return rule.priority
    if record.release is not None and record.release.not_automatic:
        return BUT_AUTOMATIC_UPGRADES if record.release.but_automatic_upgrades else NOT_AUTOMATIC
    return DEFAULT


def candidate(records: Iterable[Record], rules: Iterable[Pin]) -> Record | None:
    """The version that would be installed where none is: highest priority, then newest; negative priorities never."""
    rules = list(rules)
    best: tuple[int, version.Key] | None = None
    chosen = None
    for record in records:
        rank = priority(record, rules)
        if rank < 0:
            continue
        place = (rank, version.key(record.version))
        if best is None or place > best:
            best, chosen = place, record
    return chosen


def _matches(pattern: str, text: str) -> bool:
    if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return re.search(pattern[1:-1], text) is not None
        except re.error as error:
            raise ConfigError(f"preferences: {pattern} is no regular expression: {error}") from None
    return fnmatch.fnmatchcase(text, pattern)


def _release_term(term: str, record: Record) -> bool:
    assert record.release is not None
    fields = record.release.fields
    key, _, value = term.partition("=")
    if not _:
        key, value = ("v", term) if term[:1].isdecimal() else ("a", term)
    if key == "c":
        return value in record.release.archive.components
    if key == "b":
        return value == record.architecture
    name = {"a": "Suite", "n": "Codename", "o": "Origin", "l": "Label", "v": "Version"}.get(key)
    return name is not None and _matches(value, fields.value(name))
