"""How much a session may do: the plan of its ids, capabilities, filter; then, in the session itself, its application.

credentials(7), capabilities(7), seccomp(2).
"""

from __future__ import annotations

import errno
import os

from ocicommon.linux import capabilities, process
from ocicommon.linux.errors import SyscallError

from crashcart.errors import CrashcartError
from crashcart.procfs import IdMap, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEBUG, STRICT, PRIVILEGED = "debug", "strict", "privileged"
# What debugging takes beyond what the container's processes have.
_EXTRA = capabilities.mask(["CAP_SYS_PTRACE", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT"])
_ALL = (1 << 64) - 1
_SYS_ADMIN = 1 << capabilities.bit("CAP_SYS_ADMIN")


class Privileges:
    """What the command is given. Ids are those inside the container's user namespace; ``filters`` are (BPF program,
    flags), in the order of their loading."""

    __slots__ = (
        "ambient", "bounding", "effective", "filters", "gid", "groups", "inheritable", "label",
        "no_new_privs", "permitted", "uid",
    )  # fmt: skip

    def __init__(self, uid: int, gid: int, bounding: int) -> None:
        self.uid = uid
        self.gid = gid
        self.groups: list[int] = []
        self.bounding = bounding
        # A process of root has what its bounding set has; another has nothing, unless it is given.
        self.permitted = self.effective = bounding if uid == 0 else 0
        self.inheritable = 0
        self.ambient = 0
        self.no_new_privs = False
        self.filters: list[tuple[bytes, int]] = []
        self.label = b""


def plan(
    profile: str,
    target: Status,
    users: IdMap,
    groups: IdMap,
    user: tuple[int, int] | None = None,
    target_groups: tuple[int, ...] = (),
) -> Privileges:
    """The privileges (without the filter) of a session under a profile; ``user`` is what ``-U`` asks for."""
    if profile == STRICT:
        uid, gid = user or (users.inside(target.uid), groups.inside(target.gid))
        if uid is None or gid is None:
            raise CrashcartError(
                f"the container's user {target.uid} is not mapped in its user namespace: name one with -U"
            )
        made = Privileges(uid, gid, target.bounding)
        made.no_new_privs = target.no_new_privs
        if user is None:
            made.permitted, made.effective = target.permitted, target.effective
            made.inheritable, made.ambient = target.inheritable, target.ambient
            made.groups = [one for one in (groups.inside(group) for group in target_groups) if one is not None]
        return made
    uid, gid = user or (users.first(), groups.first())
    return Privileges(uid, gid, _ALL if profile == PRIVILEGED else target.bounding | _EXTRA)


def set_default_filter(privileges: Privileges) -> None:
    """Give the plan docker's default filter for its capabilities."""
    from ocicommon.linux.seccomp import default

    set_filter(privileges, default.docker(capabilities.names(privileges.bounding)))


def set_filter(privileges: Privileges, asked: dict[str, Any]) -> None:
    """Give the plan a filter as ``linux.seccomp`` of a runtime configuration describes it."""
    from ocicommon.linux import seccomp

    try:
        privileges.filters = [(seccomp.compile(asked), seccomp.flags(asked))]
    except seccomp.SeccompError as error:
        raise CrashcartError(f"the container's seccomp filter cannot be made: {error}") from error


# What ``apply`` needs and may no more be imported once a container has been entered.
PRELOAD = ("ocicommon.linux.seccomp.loader",)


def apply(privileges: Privileges, attributes: int = -1) -> None:
    """Become what the plan says; the last steps before exec. SyscallError when the kernel refuses.

    ``attributes`` is /proc/self/attr of a procfs that can be trusted, for the label of a security module.
    """
    last = capabilities.last()
    if privileges.label:
        _set_label(privileges.label, attributes)
    if privileges.no_new_privs:
        process.set_no_new_privileges()
    # The filter needs CAP_SYS_ADMIN or no_new_privs, and must not stand in the way of what follows more than it has to.
    if privileges.filters and not privileges.no_new_privs:
        _load(privileges)
    for number in range(last + 1):
        if not privileges.bounding >> number & 1:
            process.prctl(process.PR_CAPBSET_DROP, number)
    process.set_keep_capabilities(True)
    _become(privileges)
    mine = capabilities.capget()[1]
    permitted = privileges.permitted & mine
    capabilities.capset(
        privileges.effective & permitted, permitted, privileges.inheritable & (mine | privileges.inheritable)
    )
    capabilities.ambient_clear()
    for number in range(last + 1):
        if privileges.ambient & permitted & privileges.inheritable & 1 << number:
            capabilities.ambient_raise(number)
    process.set_keep_capabilities(False)
    if privileges.filters and privileges.no_new_privs:
        _load(privileges)


def _become(privileges: Privileges) -> None:
    try:
        os.setgroups(privileges.groups)
    except PermissionError as error:
        # A user namespace made without privileges denies it, and its processes have no groups to lose.
        if error.errno != errno.EPERM:
            raise
    os.setresgid(privileges.gid, privileges.gid, privileges.gid)
    os.setresuid(privileges.uid, privileges.uid, privileges.uid)


def _load(privileges: Privileges) -> None:
    from ocicommon.linux.seccomp import loader

    for program, flags in privileges.filters:
        loader.load(program, flags)


def _set_label(label: bytes, attributes: int) -> None:
    for name in ("apparmor/exec", "exec"):
        try:
            fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=attributes)
        except OSError:
            continue
        try:
            os.write(fd, b"exec " + label if name.startswith("apparmor") else label)
            return
        except OSError as error:
            raise SyscallError(error.errno or 0, "write", f"label {label.decode('ascii', 'replace')}") from error
        finally:
            os.close(fd)
