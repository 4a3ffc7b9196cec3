"""What maintainer scripts usually do, done without running them: CA bundle, alternatives, system users."""

from __future__ import annotations

from collections.abc import Sequence

from smith import tree as t
from smith.content import BytesContent
from smith.sources import Script, accounts, alternatives
from smith.sources.deb.archive import Deb
from smith.tree import Node, Tree

CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
INFO = "var/lib/dpkg/info"
_CA_SOURCE = "usr/share/ca-certificates"


def apply(tree: Tree, packages: Sequence[tuple[str, Deb]]) -> dict[str, list[str]]:
    """Change the tree as configuring these packages would. The paths that were made, by the package they belong to."""
    scripts = [(name, _text(deb, "postinst") + "\n" + _text(deb, "preinst")) for name, deb in packages]
    made = alternatives.put(tree, scripts)
    for path, owner in _certificates(tree):
        made.setdefault(owner, []).append(path)
    accounts.put(tree, (text for _, text in scripts), accounts.DEBIAN_PASSWD, accounts.DEBIAN_GROUP)
    return made


def scripts(packages: Sequence[tuple[str, Deb]]) -> list[Script]:
    """What dpkg would run for packages that are installed for the first time (deb-preinst(5), deb-postinst(5))."""
    found = []
    for name, deb in packages:
        for script, arguments in (("preinst", ("install",)), ("postinst", ("configure", ""))):
            if script in deb.scripts:
                said = {"PACKAGE": name, "NAME": script, "ARCH": deb.control.value("Architecture")}
                environment = {f"DPKG_MAINTSCRIPT_{key}": value for key, value in said.items()}
                beside = {f"{INFO}/{name}.{file}": data for file, data in deb.scripts.items()}
                path = f"{INFO}/{name}.{script}"
                found.append(Script(name, script, deb.scripts[script], arguments, "", environment, path, beside))
    return found


def _text(deb: Deb, script: str) -> str:
    return deb.scripts.get(script, b"").decode("utf-8", "replace")


def _certificates(tree: Tree) -> list[tuple[str, str]]:
    """update-ca-certificates(8): one bundle of all certificates, and OpenSSL's default file led to it."""
    if not tree.children(_CA_SOURCE):
        return []
    bundle = bytearray()
    owner = ""
    for path in sorted(tree.descendants(_CA_SOURCE)):
        node = tree[path]
        if node.content is not None and path.endswith(".crt"):
            owner = owner or node.package or ""
            bundle += node.content.read_at(0, node.size)
            if not bundle.endswith(b"\n"):
                bundle += b"\n"
    data = BytesContent(bytes(bundle))
    made = [tree.add(CA_BUNDLE, Node(t.FILE, 0o644, size=data.size, content=data, package=owner or None))]
    if tree.get("usr/lib/ssl/cert.pem") is None:
        link = Node(t.SYMLINK, 0o777, target=f"/{CA_BUNDLE}", package=owner or None)
        made.append(tree.add("usr/lib/ssl/cert.pem", link))
    return [(path, owner) for path in made]
