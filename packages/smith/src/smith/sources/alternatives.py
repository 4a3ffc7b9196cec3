"""update-alternatives(1) and alternatives(8): the links that packages' scripts would make, without running those."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from smith.tree import SYMLINK, Node, Tree

_COMMAND = re.compile(r"\b(?:update-)?alternatives\b([^\n;|&]*--install[^\n;|&]*)")
_FOLLOWERS = ("--slave", "--follower")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One `--install`: `links` are (link, name, path), the master first."""

    priority: int
    links: tuple[tuple[str, str, str], ...]


def installed(script: str) -> list[Alternative]:
    """The alternatives that a script installs, as far as they stand in it without variables."""
    found = []
    for match in _COMMAND.finditer(script.replace("\\\n", " ")):
        words = match.group(1).replace('"', "").replace("'", "").split()
        at = words.index("--install") if "--install" in words else -1
        if at < 0 or len(words) < at + 5 or not words[at + 4].lstrip("-").isdecimal():
            continue
        links = [(words[at + 1], words[at + 2], words[at + 3])]
        for index, word in enumerate(words):
            if word in _FOLLOWERS and len(words) > index + 3:
                links.append((words[index + 1], words[index + 2], words[index + 3]))
        literal = not any("$" in part for link in links for part in link)
        if literal and not any("/" in name for _, name, _ in links):
            found.append(Alternative(int(words[at + 4]), tuple(links)))
    return found


def put(tree: Tree, scripts: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Make the links of the best alternative of each name, from (package, script) pairs; the paths made, by package."""
    best: dict[str, tuple[Alternative, str]] = {}
    for package, script in scripts:
        for alternative in installed(script):
            name = alternative.links[0][1]
            if tree.resolve(alternative.links[0][2]) is None:
                continue
            if name not in best or alternative.priority > best[name][0].priority:
                best[name] = (alternative, package)
    made: dict[str, list[str]] = {}
    for alternative, package in best.values():
        for link, name, path in alternative.links:
            if tree.resolve(path) is None or tree.walk(link, last=False).node is not None:
                continue
            made.setdefault(package, []).append(
                tree.add(f"etc/alternatives/{name}", Node(SYMLINK, 0o777, target=path, package=package))
            )
            target = f"/etc/alternatives/{name}"
            made[package].append(tree.add(link, Node(SYMLINK, 0o777, target=target, package=package)))
    return made
