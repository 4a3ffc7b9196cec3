"""What maintainer scripts usually do, done without running them: CA bundle, alternatives, system users."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from smith import tree as t
from smith.content import BytesContent
from smith.sources import accounts
from smith.sources.deb.archive import Deb
from smith.tree import Node, Tree

CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_CA_SOURCE = "usr/share/ca-certificates"
_ALTERNATIVE = re.compile(r"update-alternatives\b([^\n;|&]*--install[^\n;|&]*)")


def apply(tree: Tree, packages: Sequence[tuple[str, Deb]]) -> None:
    """Change the tree as configuring these packages would."""
    _certificates(tree)
    scripts = [(name, _text(deb, "postinst") + "\n" + _text(deb, "preinst")) for name, deb in packages]
    _alternatives(tree, scripts)
    accounts.put(tree, (text for _, text in scripts), accounts.DEBIAN_PASSWD, accounts.DEBIAN_GROUP)


def _text(deb: Deb, script: str) -> str:
    return deb.scripts.get(script, b"").decode("utf-8", "replace").replace("\\\n", " ")


def _write(tree: Tree, path: str, data: bytes, package: str | None) -> None:
    tree.add(path, Node(t.FILE, 0o644, size=len(data), content=BytesContent(data), package=package))


def _certificates(tree: Tree) -> None:
    """update-ca-certificates(8): one bundle of all certificates, and OpenSSL's default file led to it."""
    if not tree.children(_CA_SOURCE):
        return
    bundle = bytearray()
    owner = None
    for path in sorted(tree.descendants(_CA_SOURCE)):
        node = tree[path]
        if node.content is not None and path.endswith(".crt"):
            owner = owner or node.package
            bundle += node.content.read_at(0, node.size)
            if not bundle.endswith(b"\n"):
                bundle += b"\n"
    _write(tree, CA_BUNDLE, bytes(bundle), owner)
    if tree.get("usr/lib/ssl/cert.pem") is None:
        tree.add("usr/lib/ssl/cert.pem", Node(t.SYMLINK, 0o777, target=f"/{CA_BUNDLE}", package=owner))


@dataclass(frozen=True, slots=True)
class Alternative:
    """One update-alternatives(1) --install: `links` are (link, name, path), the master first."""

    priority: int
    links: tuple[tuple[str, str, str], ...]


def alternatives(script: str) -> list[Alternative]:
    """The alternatives that a script installs, as far as they stand in it without variables."""
    found = []
    for match in _ALTERNATIVE.finditer(script):
        words = match.group(1).replace('"', "").replace("'", "").split()
        at = words.index("--install") if "--install" in words else -1
        if at < 0 or len(words) < at + 5 or not words[at + 4].lstrip("-").isdecimal():
            continue
        links = [(words[at + 1], words[at + 2], words[at + 3])]
        for index, word in enumerate(words):
            if word == "--slave" and len(words) > index + 3:
                links.append((words[index + 1], words[index + 2], words[index + 3]))
        if all("$" not in part for link in links for part in link):
            found.append(Alternative(int(words[at + 4]), tuple(links)))
    return found


def _alternatives(tree: Tree, scripts: Sequence[tuple[str, str]]) -> None:
    best: dict[str, tuple[int, Alternative, str]] = {}
    for package, script in scripts:
        for alternative in alternatives(script):
            name = alternative.links[0][1]
            if tree.resolve(alternative.links[0][2]) is None:
                continue
            if name not in best or alternative.priority > best[name][0]:
                best[name] = (alternative.priority, alternative, package)
    for _, alternative, package in best.values():
        for link, name, path in alternative.links:
            if tree.resolve(path) is None or tree.get(link.lstrip("/")) is not None:
                continue
            tree.add(f"etc/alternatives/{name}", Node(t.SYMLINK, 0o777, target=path, package=package))
            tree.add(link, Node(t.SYMLINK, 0o777, target=f"/etc/alternatives/{name}", package=package))
