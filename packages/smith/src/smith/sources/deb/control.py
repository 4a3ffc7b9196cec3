"""Control data: stanzas of `Field: value` lines (deb822(5)), and the relations in them (Debian Policy chapter 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from smith.errors import InputError

_RELATION = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)(?::(?P<qualifier>[A-Za-z0-9-]+))?\s*"
    r"(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?\s*(?:\[[^\]]*\])?\s*(?:<[^>]*>\s*)*$"
)


class Stanza(dict[str, str]):
    """One paragraph; field names are matched without regard to case, and their order is kept."""

    def __init__(self, items: Iterator[tuple[str, str]] | None = None) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        for name, value in items or ():
            self[name] = value

    def __setitem__(self, name: str, value: str) -> None:
        lowered = name.lower()
        self.names.setdefault(lowered, name)
        super().__setitem__(lowered, value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def value(self, name: str, default: str = "") -> str:
        """The field's text, or `default`."""
        return super().get(name.lower(), default)

    def text(self, *, without: tuple[str, ...] = ()) -> str:
        """The stanza as it is written in a file, ended by a newline."""
        dropped = {name.lower() for name in without}
        lines = [
            f"{self.names[k]}: {v}" if v[:1] != "\n" else f"{self.names[k]}:{v}"
            for k, v in self.items()
            if k not in dropped
        ]
        return "\n".join(lines) + "\n"


def _fields(text: str, subject: str) -> Iterator[tuple[str, str]]:
    name, lines = "", []
    for line in text.splitlines():
        if line[:1] == "#":
            continue
        if line[:1] in (" ", "\t"):
            if not name:
                raise InputError(f"{subject}: a continuation line comes before any field: {line.strip()!r}")
            lines.append("\n" + line)
            continue
        if name:
            yield name, "".join(lines)
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InputError(f"{subject}: not a 'Field: value' line: {line!r}")
        name, lines = name.strip(), [value.strip()]
    if name:
        yield name, "".join(lines)


def parse(text: str, subject: str) -> Stanza:
    """One stanza. InputError names `subject` and the line."""
    return Stanza(_fields(text.strip("\n"), subject))


def paragraphs(text: str, subject: str) -> list[Stanza]:
    """All stanzas of a file; comment lines do not end one."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [parse(block, subject) for block in re.split(r"\n[ \t]*\n", kept) if block.strip()]


@dataclass(frozen=True, slots=True)
class Relation:
    """One alternative: a name, perhaps with a version. `qualifier` follows a colon (any, native, ...)."""

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


def relations(text: str, subject: str) -> list[tuple[Relation, ...]]:
    """A Depends-like field as groups of alternatives. InputError for what is no relation."""
    groups = []
    for group in text.replace("\n", " ").split(","):
        if not group.strip():
            continue
        alternatives = []
        for part in group.split("|"):
            match = _RELATION.match(part)
            if match is None:
                raise InputError(f"{subject}: not a package relation: {part.strip()!r}")
            found = match.groupdict(default="")
            alternatives.append(Relation(found["name"], found["operator"], found["version"], found["qualifier"]))
        groups.append(tuple(alternatives))
    return groups
