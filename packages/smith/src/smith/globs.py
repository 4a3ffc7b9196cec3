"""Globs over a tree: `*`, `?`, `[...]` within a name, `**` for any depth; symlinked folders are gone through."""

import re
from collections.abc import Iterator

from smith.tree import Tree

_MAGIC = re.compile(r"[*?\[]")


def is_literal(pattern: str) -> bool:
    """No wildcard in it."""
    return not _MAGIC.search(pattern)


def match(tree: Tree, pattern: str) -> list[str]:
    """The paths that a glob names, sorted, as they are named (symlinks in them unresolved)."""
    parts = [part for part in pattern.split("/") if part and part != "."]
    if not parts:
        return [""]
    return sorted(set(_match(tree, "", parts, 0)))


def _match(tree: Tree, base: str, parts: list[str], depth: int) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        if rest:
            yield from _match(tree, base, rest, depth)
        real = tree.resolve(base)
        for name in tree.children(real) if real is not None else ():
            below = f"{base}/{name}" if base else name
            if not rest:
                yield below
            node = tree.get(f"{real}/{name}" if real else name)
            if node is not None and node.is_dir and depth < 128:
                yield from _match(tree, below, parts, depth + 1)
        return
    if is_literal(part):
        names: list[str] = [part]
    else:
        real = tree.resolve(base)
        regex = re.compile(_name(part), re.DOTALL)
        names = [name for name in tree.children(real) if regex.fullmatch(name)] if real is not None else []
    for name in names:
        below = f"{base}/{name}" if base else name
        if tree.walk(below, last=bool(rest)).node is None:
            continue
        if rest:
            yield from _match(tree, below, rest, depth)
        else:
            yield below


class Excludes:
    """Globs that say what is never wanted: a path that one matches, and all below it."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        bodies = [_translate(pattern.strip("/")) for pattern in patterns if pattern.strip("/")]
        self._regex = re.compile("|".join(f"(?:{body})(?:/.*)?" for body in bodies), re.DOTALL) if bodies else None

    def __contains__(self, path: str) -> bool:
        return self._regex is not None and self._regex.fullmatch(path) is not None


def _translate(pattern: str) -> str:
    parts = pattern.split("/")
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            text += _name(part) + ("" if last else "/")
    return text


def _name(part: str) -> str:
    text = ""
    position = 0
    while position < len(part):
        letter = part[position]
        close = part.find("]", position + 2) if letter == "[" else -1
        if letter == "*":
            text += "[^/]*"
        elif letter == "?":
            text += "[^/]"
        elif close > 0:
            body = part[position + 1 : close]
            negated = body[0] in "!^"
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", body[1:] if negated else body)
            text += f"[{'^/' if negated else ''}{inside}]"
            position = close
        else:
            text += re.escape(letter)
        position += 1
    return text
