"""Session keyrings: a container must not see the keys of who started it. keyctl(2)."""

from __future__ import annotations

from ocicommon.linux.calls import buffer, call, path_bytes

_JOIN_SESSION_KEYRING = 1
_SETPERM = 5
_DESCRIBE = 6

POSSESSOR_ALL = 0x3F000000
USER_VIEW_READ_SEARCH = 0x000B0000


def join_session(name: str | bytes) -> int:
    """Join the session keyring of this name, or make it; returns its serial number.

    ENOSYS without CONFIG_KEYS or behind a seccomp filter, EDQUOT when the user has too many keys.
    """
    return call("keyctl", _JOIN_SESSION_KEYRING, path_bytes(name, "keyctl"), subject=name)


def set_permissions(serial: int, permissions: int) -> None:
    """Set a key's permission mask (``KEY_POS_* KEY_USR_*...``)."""
    call("keyctl", _SETPERM, serial, permissions, subject=f"key {serial}")


def permissions(serial: int) -> int:
    """A key's permission mask."""
    held = buffer(4096)
    length = call("keyctl", _DESCRIBE, serial, held, 4096, subject=f"key {serial}")
    # type;uid;gid;permissions;description
    return int(held.raw[: length - 1].split(b";")[3], 16)
