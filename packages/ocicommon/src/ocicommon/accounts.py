"""Users and groups of a container, from the text of its own /etc/passwd and /etc/group."""

from dataclasses import dataclass

from ocicommon.errors import ConversionError

_HIGHEST_ID = 2**32 - 2


@dataclass(frozen=True)
class Account:
    """Who a process is: ids, further groups, and the home directory if /etc/passwd knows one."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()
    home: str | None = None


def numeric(text: str) -> int | None:
    """The id that `text` is, None if it is a name; raises ConversionError above 4294967294."""
    if not text.isascii() or not text.isdigit():
        return None
    number = int(text) if len(text) <= 20 else _HIGHEST_ID + 1
    if number > _HIGHEST_ID:
        raise ConversionError(f"the id {text[:20]} is too large: the largest is {_HIGHEST_ID}")
    return number


def resolve(user: str, passwd: str = "", group: str = "") -> Account:
    """The account that an image's `User` (`user`, `uid`, `user:group`...) means; raises ConversionError.

    Numbers are taken as they are; names must be in `passwd` and `group`. Further groups are looked up for a named user
    without a group only (image specification, conversion.md).
    """
    name, colon, group_name = user.partition(":")
    uid = numeric(name) if name else 0
    entry = _passwd_entry(passwd, name, uid)
    if uid is None:
        if entry is None:
            raise ConversionError(f"the image's user is {name!r}, which its /etc/passwd does not have: use a number")
        uid = entry.uid
    home = entry.home if entry else None
    if colon and group_name:
        return Account(uid, _group_id(group, group_name), home=home)
    gid = entry.gid if entry else 0
    login = name if name and numeric(name) is None else ""
    return Account(uid, gid, _memberships(group, login, gid) if login else (), home)


def _rows(text: str, columns: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines() if line and line[0] not in "#+-")
    return [row for row in rows if len(row) >= columns]


def _number(text: str) -> int | None:
    try:
        return numeric(text)
    except ConversionError:
        return None


def _passwd_entry(passwd: str, name: str, uid: int | None) -> Account | None:
    for row in _rows(passwd, 6):
        row_uid, row_gid = _number(row[2]), _number(row[3])
        if row_uid is None or row_gid is None:
            continue
        if row[0] == name if uid is None else row_uid == uid:
            return Account(row_uid, row_gid, home=row[5] or None)
    return None


def _group_id(group: str, name: str) -> int:
    gid = numeric(name)
    if gid is not None:
        return gid
    for row in _rows(group, 3):
        if row[0] == name:
            gid = _number(row[2])
            if gid is not None:
                return gid
    raise ConversionError(f"the image's group is {name!r}, which its /etc/group does not have: use a number")


def _memberships(group: str, login: str, primary: int) -> tuple[int, ...]:
    gids = []
    for row in _rows(group, 4):
        gid = _number(row[2])
        if gid is not None and gid != primary and login in row[3].split(","):
            gids.append(gid)
    return tuple(sorted(set(gids)))
