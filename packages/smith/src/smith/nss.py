"""Users: what `user:` means, and the passwd, group and nsswitch.conf that go with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from smith.errors import ConfigError
from smith.tree import Tree

DEFAULT_ID = 10
KNOWN = {"root": 0, "daemon": 1}
MAX_ID = 2**32 - 2
_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?", re.ASCII | re.IGNORECASE)

NSSWITCH = b"""passwd: files
group: files
shadow: files
hosts: files dns
networks: files dns
protocols: files
services: files
"""
MODULES = ("libnss_dns.so.2", "libnss_files.so.2", "libnss_compat.so.2")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the image runs as. The names are empty where a number was given; `named` tells that passwd is needed."""

    uid: int = DEFAULT_ID
    gid: int = DEFAULT_ID
    user: str = ""
    group: str = ""

    @property
    def named(self) -> bool:
        return bool(self.user or self.group)


def identity(
    user: str,
    users: Mapping[str, tuple[int, int]] | None = None,
    groups: Mapping[str, int] | None = None,
    *,
    where: str = "user",
) -> Identity:
    """`USER[:GROUP]` by name or number. Names that the image's own `users` (uid, gid) and `groups` have keep their
    numbers, root and daemon are 0 and 1, all others are 10. ConfigError for what is neither name nor number.
    """
    if not user:
        return Identity()
    first, colon, second = user.partition(":")
    own_users, own_groups = users or {}, groups or {}
    uid, name = _one(first, {**{key: ids[0] for key, ids in own_users.items()}, **KNOWN}, where)
    if not colon:
        if not name:
            return Identity(uid, uid)
        return Identity(uid, KNOWN.get(name, own_users[name][1] if name in own_users else uid), name, name)
    gid, group = _one(second, {**own_groups, **KNOWN}, where)
    return Identity(uid, gid, name, group)


def _one(text: str, known: Mapping[str, int], where: str) -> tuple[int, str]:
    if text.isascii() and text.isdigit():
        if int(text) > MAX_ID:
            raise ConfigError(f"{where}: {text} is no id: the highest is {MAX_ID}")
        return int(text), ""
    if not _NAME.fullmatch(text):
        raise ConfigError(f"{where}: {text!r} is neither a number nor a name; write USER:GROUP, such as 10:10")
    return known.get(text, DEFAULT_ID), text


def parse_passwd(data: bytes) -> dict[str, tuple[int, int]]:
    """name -> (uid, gid) of a passwd file; broken lines are passed over (passwd(5))."""
    found: dict[str, tuple[int, int]] = {}
    for line in data.decode(errors="replace").splitlines():
        parts = line.split(":")
        if len(parts) >= 4 and parts[2].isdigit() and parts[3].isdigit():
            found.setdefault(parts[0], (int(parts[2]), int(parts[3])))
    return found


def parse_group(data: bytes) -> dict[str, int]:
    """name -> gid of a group file (group(5))."""
    found: dict[str, int] = {}
    for line in data.decode(errors="replace").splitlines():
        parts = line.split(":")
        if len(parts) >= 3 and parts[2].isdigit():
            found.setdefault(parts[0], int(parts[2]))
    return found


def own(tree: Tree) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """The users and groups that a tree's own passwd and group have (Debian's masters when those are not there)."""
    return (
        parse_passwd(_read(tree, "etc/passwd", "usr/share/base-passwd/passwd.master")),
        parse_group(_read(tree, "etc/group", "usr/share/base-passwd/group.master")),
    )


def named_by(
    tree: Tree, users: Mapping[str, tuple[int, int]], groups: Mapping[str, int]
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Those users and groups that the configuration in /etc names, such as nginx's `user www-data;`."""
    words: set[str] = set()
    for path, node in tree.items():
        if path.startswith("etc/") and node.content is not None and node.size < 1 << 16:
            text = node.content.read_at(0, node.size)
            words.update(match[1].decode() for match in _NAMES_USER.finditer(text))
    kept = {name: ids for name, ids in users.items() if name in words}
    gids = {gid for _, gid in kept.values()}
    return kept, {name: gid for name, gid in groups.items() if name in words or gid in gids}


_NAMES_USER = re.compile(rb"(?im)^[ \t]*(?:user|group|listen\.(?:owner|group))\b[ \t=]+\"?([a-z_][a-z0-9_-]*)")


def _read(tree: Tree, *paths: str) -> bytes:
    for path in paths:
        node = tree.walk(path).node
        if node is not None and node.content is not None:
            return node.content.read_at(0, min(node.size, 1 << 20))
    return b""


def files(
    who: Identity,
    groups: tuple[str, ...] = (),
    kept_users: Mapping[str, tuple[int, int]] | None = None,
    kept_groups: Mapping[str, int] | None = None,
) -> dict[str, bytes]:
    """Path -> bytes of etc/passwd, etc/group and etc/nsswitch.conf; `groups` are numbered from gid + 1."""
    users = {"root": (0, 0), **(kept_users or {})}
    name = who.user or ("root" if who.uid == 0 else "smith")
    users[name] = (who.uid, who.gid)
    members: dict[str, tuple[int, str]] = {"root": (0, "")}
    members |= {group: (gid, "") for group, gid in (kept_groups or {}).items()}
    members[who.group or ("root" if who.gid == 0 else "smith")] = (who.gid, "")
    for number, group in enumerate(groups, who.gid + 1):
        members[group] = (number, name)
    passwd = "".join(
        f"{user}:x:{uid}:{gid}:{user}:{'/root' if uid == 0 else '/write'}:/sbin/nologin\n"
        for user, (uid, gid) in sorted(users.items(), key=lambda item: (item[1][0], item[0]))
    )
    group_text = "".join(
        f"{group}:x:{gid}:{member}\n"
        for group, (gid, member) in sorted(members.items(), key=lambda item: (item[1][0], item[0]))
    )
    return {"etc/passwd": passwd.encode(), "etc/group": group_text.encode(), "etc/nsswitch.conf": NSSWITCH}
