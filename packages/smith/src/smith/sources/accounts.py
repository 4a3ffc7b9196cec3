"""/etc/passwd and /etc/group as a fresh system has them, with the users that packages' scripts would make."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smith.content import BytesContent
from smith.tree import FILE, Node, Tree

_FIRST_SYSTEM_ID = 101
_LAST_SYSTEM_ID = 999
_COMMAND = re.compile(r"\b(adduser|useradd|addgroup|groupadd)\b([^\n;|&]*)")
_NAME = re.compile(r"[a-z_][a-z0-9_-]*")

_USERS = (
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
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8, "news": 9,
    "uucp": 10, "man": 12, "proxy": 13, "kmem": 15, "dialout": 20, "fax": 21, "voice": 22, "cdrom": 24, "floppy": 25,
    "tape": 26, "sudo": 27, "audio": 29, "dip": 30, "www-data": 33, "backup": 34, "operator": 37, "list": 38, "irc": 39,
    "src": 40, "shadow": 42, "utmp": 43, "video": 44, "sasl": 45, "plugdev": 46, "staff": 50, "games": 60, "users": 100,
    "nogroup": 65534,
}  # fmt: skip


DEBIAN_PASSWD = "".join(f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n" for name, uid, gid, home, shell in _USERS)
DEBIAN_GROUP = "".join(f"{name}:x:{gid}:\n" for name, gid in _GROUPS.items())
RPM_PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin\n"
RPM_GROUP = "root:x:0:\nnobody:x:65534:\n"
ALPINE_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
ALPINE_GROUP = "root:x:0:root\ntty:x:5:\nwww-data:x:82:\nnogroup:x:65533:\nnobody:x:65534:\n"


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
    """Users and groups that a script makes with adduser, useradd, addgroup or groupadd, as far as they are literal.

    Debian's adduser(8), shadow's useradd(8) and busybox's adduser are understood.
    """
    found = []
    for match in _COMMAND.finditer(script):
        command = match.group(1)
        options, names = _options(_words(match.group(2)))
        if not names or not _NAME.fullmatch(names[0]):
            continue
        if command == "addgroup" and len(names) > 1:
            continue
        is_group = command in ("addgroup", "groupadd") or ("--group" in options and "--system" not in options)
        if not is_group and not {"--system", "-r", "-S"} & options.keys():
            continue
        own = names[0] if "--group" in options or command == "useradd" else "nogroup"
        first = _first(options, "--ingroup", "--gid", "-G" if command == "adduser" else "-g") or own
        home = _first(options, "--home", "--home-dir", "-h" if command == "adduser" else "-d")
        gecos = _first(options, "--gecos", "--comment", "-g" if command == "adduser" else "-c")
        shell = _first(options, "--shell", "-s")
        found.append(
            SystemUser(
                names[0],
                is_group,
                "" if is_group else first,
                home or "/nonexistent",
                shell or "/usr/sbin/nologin",
                gecos,
            )
        )
    return found


def files(users: Sequence[SystemUser], passwd: str, group: str) -> tuple[bytes, bytes]:
    """passwd(5) and group(5) with these users added to what `passwd` and `group` hold already, ids in order of name."""
    known = {line.partition(":")[0]: line for line in passwd.splitlines() if line}
    groups = {line.partition(":")[0]: line for line in group.splitlines() if line}
    taken = {line.split(":")[2] for line in (*known.values(), *groups.values()) if line.count(":") > 2}
    free = (str(i) for i in range(_FIRST_SYSTEM_ID, _LAST_SYSTEM_ID + 1) if str(i) not in taken)
    by_name = {(user.name, user.is_group): user for user in users}
    for user in (by_name[key] for key in sorted(by_name)):
        wants_group = user.is_group or user.group == user.name
        number = _id_of(groups, user.name) or _id_of(known, user.name) or next(free, "")
        if wants_group and user.name not in groups:
            groups[user.name] = f"{user.name}:x:{number}:"
        if not user.is_group and user.name not in known:
            gid = (
                user.group
                if user.group.isdecimal()
                else _id_of(groups, user.group) or _id_of(groups, "nogroup") or "65534"
            )
            gecos = user.gecos.replace(":", " ")
            known[user.name] = f"{user.name}:x:{number}:{gid}:{gecos}:{user.home}:{user.shell}"
    return _text(known), _text(groups)


def put(tree: Tree, scripts: Iterable[str], passwd: str, group: str) -> None:
    """Write /etc/passwd and /etc/group into the tree: what is there (or `passwd`, `group`) and the scripts' users."""
    users = [user for script in scripts for user in system_users(script.replace("\\\n", " "))]
    before: dict[str, tuple[str, str | None]] = {}
    for path, default in (("etc/passwd", passwd), ("etc/group", group)):
        node = tree.get(path)
        text = node.content.read_at(0, node.size).decode() if node is not None and node.content is not None else ""
        before[path] = (text or default, node.package if node is not None else None)
    made = files(users, before["etc/passwd"][0], before["etc/group"][0])
    for (path, (_, owner)), data in zip(before.items(), made, strict=True):
        tree.add(path, Node(FILE, 0o644, size=len(data), content=BytesContent(data), package=owner))


def _text(lines: Mapping[str, str]) -> bytes:
    return "".join(f"{line}\n" for line in lines.values()).encode()


def _id_of(lines: Mapping[str, str], name: str) -> str:
    line = lines.get(name, "")
    return line.split(":")[2] if line.count(":") > 2 else ""


def _first(options: Mapping[str, str], *names: str) -> str:
    """The first of these options that has a value; one with a variable of the script counts as absent."""
    return next((options[name] for name in names if options.get(name) and "$" not in options[name]), "")


_VALUES = {
    "--home", "--home-dir", "--shell", "-s", "--gecos", "--comment", "-c", "--ingroup", "--gid", "-g", "--uid", "-u",
    "--groups", "-G", "--firstuid", "--lastuid", "--conf", "--base-dir", "-b", "--expiredate", "-e", "--password", "-p",
    "-d", "-h", "-k",
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
        if not equal and not name.startswith("--") and len(name) > 2:
            options |= {f"-{letter}": "" for letter in name[1:-1]}
            name = f"-{name[-1]}"
        if not equal and name in _VALUES and pending:
            value = pending.pop(0)
        options[name] = value
    return options, names


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()
