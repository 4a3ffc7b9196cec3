"""Packages built by rpmbuild: a plain one and one with every feature; signing and indexing them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pysequoia
import pytest
from smith.sources import SourceResult
from smith.sources.rpm import header as h

needs_rpmbuild = pytest.mark.skipif(
    shutil.which("rpmbuild") is None or shutil.which("createrepo_c") is None, reason="needs rpmbuild and createrepo_c"
)


FEATURE = """
Name: feature
Epoch: 2
Version: 1.5
Release: 3
Summary: features
License: MIT AND GPL-2.0-or-later
Requires: libdep >= 1.0
Requires: /usr/share/deep/file
Requires: (alpha if beta)
Requires: (beta or gamma)
Recommends: weak
Requires(pre): /bin/sh
AutoReq: no
%description
x
%package sub
Summary: sub
Requires: feature = 2:1.5-3
%description sub
y
%pre
useradd -r -d /var/lib/feature -s /sbin/nologin featured || :
%post
/usr/sbin/alternatives --install /usr/bin/tool tool /usr/bin/feature 10 \
  --follower /usr/bin/tool2 tool2 /usr/bin/h1
%post sub -p <lua>
print("lua")
%pre sub -p /bin/sh
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/feature
mkdir -p %{buildroot}/usr/share/licenses/feature %{buildroot}/var/log/feature
echo tool > %{buildroot}/usr/bin/feature
echo conf > %{buildroot}/etc/feature/c.conf
echo MIT > %{buildroot}/usr/share/licenses/feature/LICENSE
echo hard > %{buildroot}/usr/bin/h1
ln %{buildroot}/usr/bin/h1 %{buildroot}/usr/bin/h2
ln -s feature %{buildroot}/usr/bin/sym
echo cap > %{buildroot}/usr/bin/cap
touch %{buildroot}/usr/share/empty
%files
%attr(4755,root,root) /usr/bin/feature
%config(noreplace) /etc/feature/c.conf
%license /usr/share/licenses/feature/LICENSE
/usr/bin/h1
/usr/bin/h2
/usr/bin/sym
/usr/share/empty
%ghost /var/log/feature/log
%attr(0750,daemon,adm) %dir /var/log/feature
%caps(cap_net_raw=ep) /usr/bin/cap
%files sub
"""


def simple(name: str, version: str = "1.0", files: dict[str, str] | None = None, **tags: str) -> str:
    files = {f"/usr/share/{name}": name} if files is None else files
    lines = [
        f"Name: {name}",
        f"Version: {version}",
        "Release: 1",
        "Summary: s",
        "License: MIT",
        "BuildArch: noarch",
        "AutoReq: no",
    ]
    lines += [f"{tag}: {value}" for tag, value in tags.items()]
    lines += ["%description", "d", "%install"]
    for path, text in files.items():
        lines += [f"mkdir -p %{{buildroot}}{os.path.dirname(path)}", f"echo {text} > %{{buildroot}}{path}"]
    return "\n".join([*lines, "%files", *files]) + "\n"


RELEASE = {
    "/usr/lib/os-release": "\"$(printf 'ID=fedora\\nVERSION_ID=40')\"",
    "/etc/fedora-release": "'Fedora release 40 (Forty)'",
}


def index(root: Path) -> None:
    subprocess.run(["createrepo_c", "-q", str(root)], check=True, capture_output=True)


def sign(path: Path, key: Any) -> None:
    """Put a header signature into an .rpm, as rpmsign does."""
    data = path.read_bytes()
    with open(path, "rb") as stream:
        parts = h.read(stream, str(path))
    signature = bytes(
        pysequoia.sign(
            key.secret.signer(),
            data[parts.start : parts.payload],
            mode=pysequoia.SignatureMode.DETACHED,
            armor=False,
        )
    )
    values: list[Any] = [(h.SIG_RSA, h.BINARY, signature)]
    for tag, (kind, _, _) in parts.signature.entries.items():
        if tag in (269, 273):
            values.append((tag, kind, parts.signature.text(tag)))
        elif tag in (1000, 1007):
            values.append((tag, kind, parts.signature.numbers(tag)))
    blob = h.build(values, h.SIGNATURES)
    lead = data[: h.LEAD]
    path.write_bytes(lead + h.MAGIC + blob + bytes(-len(blob) % 8) + data[parts.start :])


def names(result: SourceResult) -> list[str]:
    return [f"{package.name}-{package.version}" for package in result.packages]
