"""From a profile to a BPF program: per architecture, a binary search over ranges of system call numbers."""

from __future__ import annotations

from ocicommon.linux.calls import MACHINE
from ocicommon.linux.seccomp.assembler import Assembler
from ocicommon.linux.seccomp.constants import (
    AUDIT_ARCH,
    ENOSYS,
    JMP_JEQ_K,
    OFFSET_ARCH,
    OFFSET_NR,
    RET_ALLOW,
    RET_DATA,
    RET_ERRNO,
    RET_KILL_THREAD,
    RET_LOG,
    RET_TRACE,
)
from ocicommon.linux.seccomp.numbers import X32_BIT, table
from ocicommon.linux.seccomp.profile import abis, default_action, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ocicommon.linux.seccomp.assembler import Leaf
    from ocicommon.linux.seccomp.profile import Conditions, Rule

_NEVER = 0xFFFFFFFF

# i386 programs reach these through socketcall(2) or ipc(2), with this number as the first argument.
_SOCKETCALL = {
    "socket": 1,
    "bind": 2,
    "connect": 3,
    "listen": 4,
    "accept": 5,
    "getsockname": 6,
    "getpeername": 7,
    "socketpair": 8,
    "send": 9,
    "recv": 10,
    "sendto": 11,
    "recvfrom": 12,
    "shutdown": 13,
    "setsockopt": 14,
    "getsockopt": 15,
    "sendmsg": 16,
    "recvmsg": 17,
    "accept4": 18,
    "recvmmsg": 19,
    "sendmmsg": 20,
}
_IPC = {
    "semop": 1,
    "semget": 2,
    "semctl": 3,
    "semtimedop": 4,
    "msgsnd": 11,
    "msgrcv": 12,
    "msgget": 13,
    "msgctl": 14,
    "shmat": 21,
    "shmdt": 22,
    "shmget": 23,
    "shmctl": 24,
}


def compile(profile: Mapping[str, Any], machine: str = MACHINE) -> bytes:
    """The filter of a ``linux.seccomp``, as ``struct sock_filter[]`` for ``machine`` (``os.uname().machine``).

    Names that an architecture does not have are skipped. Calls of an architecture that the profile does not name
    kill the thread. Calls with a number above all that the profile names are answered ENOSYS, unless the default
    lets calls pass: a C library then takes the older call, where EPERM would make it fail. Of several rules about
    one call, one without conditions beats those with; else the first that holds counts.

    Raises SeccompError.
    """
    default = default_action(profile)
    listed = rules(profile)
    # Every filter has the machine's own ABI, so there is at least one section.
    sections: dict[int, list[str]] = {}
    for abi in abis(profile, machine):
        sections.setdefault(AUDIT_ARCH[abi], []).append(abi)
    assembler = Assembler()
    entry = assembler.ret(RET_KILL_THREAD)
    heads = []
    for arch, members in sections.items():
        starts, leaves = _ranges(members, listed, default)
        head = assembler.search(starts, leaves, 0, len(starts))
        heads.append((arch, assembler.load(OFFSET_NR) if len(starts) > 1 else head))
    for arch, head in heads:
        entry = assembler.jump(JMP_JEQ_K, arch, head, entry)
    assembler.load(OFFSET_ARCH)
    return assembler.program()


def _permissive(action: int) -> bool:
    # A tracer answers for new calls by itself.
    return action in (RET_ALLOW, RET_LOG) or action & ~RET_DATA == RET_TRACE


def _ranges(members: list[str], listed: list[Rule], default: int) -> tuple[list[int], list[Leaf]]:
    """Starts of ranges of numbers and what happens in each, over all ABIs that share an architecture."""
    starts: list[int] = []
    leaves: list[Leaf] = []

    def add(start: int, leaf: Leaf) -> None:
        if not leaves or leaves[-1] != leaf:
            starts.append(start)
            leaves.append(leaf)

    for abi in sorted(members, reverse=True):  # x86_64 before x32, as their numbers are
        decided, last = _decide(abi, listed, default)
        following = X32_BIT if abi == "x32" else 0
        for number in sorted(decided):
            if number != following:
                add(following, default)
            add(number, decided[number])
            following = number + 1
        if last <= 0 or _permissive(default):
            add(following, default)
            continue
        if following <= last:
            add(following, default)
        add(last + 1, RET_ERRNO | ENOSYS)
    if members == ["x86_64"]:
        # -1 is no x32 call: it is what a tracer writes to skip one.
        add(X32_BIT, RET_KILL_THREAD)
        add(_NEVER, default)
    return starts, leaves


def _decide(abi: str, listed: list[Rule], default: int) -> tuple[dict[int, Leaf], int]:
    """What happens to each number that the profile names, and the highest of these numbers (-1: none)."""
    numbers = table(abi)
    get = numbers.get
    last = -1
    always: dict[int, int] = {}
    sometimes: dict[int, list[tuple[Conditions, int]]] = {}
    for names, action, alternatives in listed:
        found = {number for number in map(get, names) if number is not None}
        if not found:
            continue
        last = max(last, *found)
        if action == default:
            continue
        if alternatives:
            for number in found:
                sometimes.setdefault(number, []).extend((conditions, action) for conditions in alternatives)
        else:
            for number in found:
                always.setdefault(number, action)
    if abi == "i386":
        _add_multiplexed(numbers, listed, default, always, sometimes)
    decided: dict[int, Leaf] = {number: (tuple(rules), default) for number, rules in sometimes.items()}
    decided.update(always)
    return decided, last


def _add_multiplexed(
    numbers: dict[str, int],
    listed: list[Rule],
    default: int,
    always: dict[int, int],
    sometimes: dict[int, list[tuple[Conditions, int]]],
) -> None:
    """Rules without conditions about sockets and System V IPC hold for socketcall and ipc too.

    Those with conditions cannot: there the arguments are behind a pointer that a filter does not follow.
    """
    for name, members in (("socketcall", _SOCKETCALL), ("ipc", _IPC)):
        number = numbers[name]
        if number in always:
            continue
        for names, action, alternatives in listed:
            if alternatives or action == default:
                continue
            for called in names:
                if called in members:
                    condition = (0, "SCMP_CMP_EQ", members[called], 0)
                    sometimes.setdefault(number, []).append(((condition,), action))
