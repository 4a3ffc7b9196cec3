"""What maintainer scripts usually do, done without running them: CA bundle, alternatives, system users."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from smith import tree as t
from smith.content import BytesContent
from smith.sources.deb.archive import Deb
from smith.tree import Node, Tree

CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_CA_SOURCE = "usr/share/ca-certificates"
_FIRST_SYSTEM_ID = 100
_ADDUSER = re.compile(r"\b(adduser|useradd|addgroup|groupadd)\b([^\n;|&]*)")
_ALTERNATIVE = re.compile(r"update-alternatives\b([^\n;|&]*--install[^\n;|&]*)")

STATIC_USERS = (
    # name, uid, gid, home, shell: what every Debian system has from base-passwd
    ("root", 0, 0, "/root", "/bin/bash"),
    ("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin"),
    ("bin", 2, 2, "/bin", "/usr/sbin/nologin"),
    ("sys", 3, 3, "/dev", "/usr/sbin/nologin"),
    ("sync", 4, 65534, "/bin", "/bin/sync"),
    ("games", 5, 60, "/usr/games", "/usr/sbin/nologin"),
    ("man", 6, 12, "/var/cache/man", "/usr/sbin/nologin"),
    ("lp", 7, 7, "/var/spool/lpd", "/usr/sbin/nologin"),
    ("mail", 8, 8, "/var/mail", "/usr/sbin/nologin"),
    ("news", 9, 9, "/var/spool/news", "/usr/sbin/nologin"),
    ("uucp", 10, 10, "/var/spool/uucp", "/usr/sbin/nologin"),
    ("proxy", 13, 13, "/bin", "/usr/sbin/nologin"),
    ("www-data", 33, 33, "/var/www", "/usr/sbin/nologin"),
    ("backup", 34, 34, "/var/backups", "/usr/sbin/nologin"),
    ("list", 38, 38, "/var/list", "/usr/sbin/nologin"),
    ("irc", 39, 39, "/run/ircd", "/usr/sbin/nologin"),
    ("_apt", 42, 65534, "/nonexistent", "/usr/sbin/nologin"),
    ("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin"),
)
STATIC_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8, "news": 9,
    "uucp": 10, "man": 12, "proxy": 13, "kmem": 15, "dialout": 20, "fax": 21, "voice": 22, "cdrom": 24, "floppy": 25,
    "tape": 26, "sudo": 27, "audio": 29, "dip": 30, "www-data": 33, "backup": 34, "operator": 37, "list": 38, "irc": 39,
    "src": 40, "shadow": 42, "utmp": 43, "video": 44, "sasl": 45, "plugdev": 46, "staff": 50, "games": 60, "users": 100,
    "nogroup": 65534,
}  # fmt: skip


def apply(tree: Tree, packages: Sequence[tuple[str, Deb]]) -> None:
    """Change the tree as configuring these packages would."""
    _certificates(tree)
    scripts = [(name, _text(deb, "postinst") + "\n" + _text(deb, "preinst")) for name, deb in packages]
    _alternatives(tree, scripts)
    _users(tree, scripts)


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
        words = _words(match.group(1))
        at = words.index("--install") if "--install" in words else -1
        if at < 0 or len(words) < at + 5 or not words[at + 4].lstrip("-").isdigit():
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


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user or group that a script makes. `group` is the user's main group, empty for a group alone."""

    name: str
    is_group: bool = False
    group: str = ""
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    gecos: str = ""


def system_users(script: str) -> list[SystemUser]:
    """Users and groups that a script makes with adduser, useradd, addgroup or groupadd, as far as they are literal."""
    found = []
    for match in _ADDUSER.finditer(script):
        words = _words(match.group(2))
        options, names = _options(words)
        if not names or any("$" in name for name in names) or not re.fullmatch(r"[a-z_][a-z0-9_-]*", names[0]):
            continue
        is_group = match.group(1) in ("addgroup", "groupadd") or ("--group" in options and "--system" not in options)
        if not is_group and not {"--system", "-r"} & options.keys():
            continue
        own = names[0] if "--group" in options or match.group(1) == "useradd" else "nogroup"
        group = options.get("--ingroup") or options.get("--gid") or options.get("-g") or own
        home = options.get("--home") or options.get("--home-dir") or options.get("-d") or "/nonexistent"
        shell = options.get("--shell") or options.get("-s") or "/usr/sbin/nologin"
        gecos = options.get("--gecos") or options.get("--comment") or options.get("-c") or ""
        if "$" in group + home + shell + gecos:
            home, shell, gecos, group = "/nonexistent", "/usr/sbin/nologin", "", own if "$" in group else group
        found.append(SystemUser(names[0], is_group, "" if is_group else group, home, shell, gecos))
    return found


_WITH_VALUE = {
    "--home", "--home-dir", "-d", "--shell", "-s", "--gecos", "--comment", "-c", "--ingroup", "--gid", "-g", "--uid",
    "-u", "--groups", "-G", "--firstuid", "--lastuid", "--conf", "--base-dir", "-b", "--expiredate", "-e", "--password",
    "-p",
}  # fmt: skip


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    names: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word.startswith((">", "2>")):
            break
        if not word.startswith("-"):
            names.append(word)
            continue
        name, equal, value = word.partition("=")
        if not equal and name in _WITH_VALUE and pending:
            value = pending.pop(0)
        options[name] = value
    return options, names


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _users(tree: Tree, scripts: Sequence[tuple[str, str]]) -> None:
    """/etc/passwd and /etc/group as a fresh system has them, with the users that these packages make."""
    if tree.get("etc/passwd") is not None or tree.get("etc/group") is not None:
        return
    groups = dict(STATIC_GROUPS)
    passwd = {name: f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}" for name, uid, gid, home, shell in STATIC_USERS}
    made = sorted({user.name: user for _, script in scripts for user in system_users(script)}.items())
    taken = set(groups.values())
    free = iter(i for i in range(_FIRST_SYSTEM_ID + 1, 1000) if i not in taken)
    for name, user in made:
        number = next(free)
        if name not in groups and (user.is_group or user.group == name):
            groups[name] = number
        if not user.is_group and name not in passwd:
            gid = groups.get(user.group, STATIC_GROUPS["nogroup"])
            passwd[name] = f"{name}:x:{number}:{gid}:{user.gecos.replace(':', ' ')}:{user.home}:{user.shell}"
    lines = "".join(f"{line}\n" for line in passwd.values())
    _write(tree, "etc/passwd", lines.encode(), None)
    _write(tree, "etc/group", "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()).encode(), None)
