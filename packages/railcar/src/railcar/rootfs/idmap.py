"""User namespaces that exist for their id maps only: what an idmapped mount takes its mapping from."""

from __future__ import annotations

import os

from ocicommon.linux.namespaces import CLONE_NEWUSER
from ocicommon.linux.process import clone3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.rootfs.mount import Mount

    Mapping = tuple[int, int, int]


class UserNamespaces:
    """Descriptors of user namespaces by their maps: mounts that are mapped alike share one."""

    __slots__ = ("_known", "_opened")

    def __init__(self) -> None:
        self._opened: dict[str, int] = {}
        self._known: dict[tuple[tuple[Mapping, ...], tuple[Mapping, ...]], int] = {}

    def get(self, uids: list[Mapping], gids: list[Mapping]) -> int:
        """The namespace in which ``containerID`` is ``hostID``; raises OSError."""
        key = (tuple(uids), tuple(gids))
        if key not in self._known:
            self._known[key] = _make(uids, gids)
        return self._known[key]

    def of(self, mount: Mount) -> int:
        """The namespace of a mount's mappings; raises OSError."""
        return self._at(mount.id_space) if mount.id_space else self.get(mount.uid_mappings, mount.gid_mappings)

    def _at(self, path: str) -> int:
        if path not in self._opened:
            self._opened[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._opened[path]

    def close(self) -> None:
        """Mounts hold on to their namespace themselves."""
        for fd in (*self._known.values(), *self._opened.values()):
            os.close(fd)
        self._known, self._opened = {}, {}


def _lines(mappings: list[Mapping]) -> bytes:
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in mappings).encode()


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def _make(uids: list[Mapping], gids: list[Mapping]) -> int:
    wait, go = os.pipe2(os.O_CLOEXEC)
    pid, _ = clone3(CLONE_NEWUSER)
    if pid == 0:
        try:
            os.close(go)
            os.read(wait, 1)
        finally:
            os._exit(0)
    try:
        _write(f"/proc/{pid}/uid_map", _lines(uids))
        _write(f"/proc/{pid}/gid_map", _lines(gids))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(go)
        os.close(wait)
        os.waitpid(pid, 0)
