"""Reading the specification's ``linux.seccomp``: actions, conditions, architectures and flags, each checked."""

from __future__ import annotations

from ocicommon.linux.seccomp.constants import (
    ACTIONS,
    ARCHITECTURES,
    EPERM,
    FILTER_FLAG_NEW_LISTENER,
    FILTER_FLAG_SPEC_ALLOW,
    FILTER_FLAG_TSYNC,
    FILTER_FLAG_WAIT_KILLABLE_RECV,
    FLAGS,
    OPERATORS,
    RET_DATA,
    RET_USER_NOTIF,
    SERVED,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    # (argument index, operator, value, second value)
    Condition = tuple[int, str, int, int]
    # all of them must hold
    Conditions = tuple[Condition, ...]
    # names, action, and the alternatives of which one must hold (none: always)
    Rule = tuple[list[str], int, list[Conditions]]


class SeccompError(ValueError):
    """A profile that cannot be made into a filter: one sentence that names the field and the value."""


def action_value(action: Any, errno: Any, where: str) -> int:
    """What the filter returns for a ``SCMP_ACT_*`` and its errno (None: EPERM, where one is needed)."""
    value = ACTIONS.get(action) if isinstance(action, str) else None
    if value is None:
        raise SeccompError(f"{where}: {action!r} is no action; those that exist are {', '.join(ACTIONS)}")
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        if errno is None:
            return value | EPERM
        if not isinstance(errno, int) or isinstance(errno, bool) or not 0 <= errno <= RET_DATA:
            raise SeccompError(f"{where}: the errno {errno!r} is not a number from 0 to {RET_DATA}")
        return value | errno
    if errno is not None:
        raise SeccompError(f"{where}: {action} takes no errno, but {errno!r} is given; leave it out")
    return value


def rules(profile: Mapping[str, Any]) -> list[Rule]:
    """Every entry of ``syscalls``, in order."""
    found: list[Rule] = []
    for index, entry in enumerate(_list(profile.get("syscalls"), "seccomp.syscalls")):
        if not isinstance(entry, dict):
            raise SeccompError(f"seccomp.syscalls[{index}]: {entry!r} is not an object")
        names = _list(entry.get("names"), f"seccomp.syscalls[{index}].names")
        if not names:
            raise SeccompError(f"seccomp.syscalls[{index}].names is empty: an entry is about at least one system call")
        if not all(isinstance(name, str) for name in names):
            raise SeccompError(f"seccomp.syscalls[{index}].names: not all of {names!r} are names")
        action = action_value(entry.get("action"), entry.get("errnoRet"), f"seccomp.syscalls[{index}].action")
        if action == RET_USER_NOTIF and "write" in names:
            raise SeccompError(f"seccomp.syscalls[{index}]: SCMP_ACT_NOTIFY cannot be used for the write syscall")
        arguments = _list(entry.get("args"), f"seccomp.syscalls[{index}].args")
        found.append((names, action, _alternatives(arguments, index) if arguments else []))
    return found


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SeccompError(f"{where}: {value!r} is not a list")
    return value


def _alternatives(arguments: Iterable[Mapping[str, Any]], index: int) -> list[Conditions]:
    conditions = [_condition(argument, f"seccomp.syscalls[{index}].args[{n}]") for n, argument in enumerate(arguments)]
    if len({condition[0] for condition in conditions}) < len(conditions):
        # Two conditions on one argument are taken as alternatives: what the other runtimes do, and profiles rely on.
        return [(condition,) for condition in conditions]
    return [tuple(conditions)]


def _condition(argument: Mapping[str, Any], where: str) -> Condition:
    if not isinstance(argument, dict):
        raise SeccompError(f"{where}: {argument!r} is not an object")
    position, operator = argument.get("index"), argument.get("op")
    value, second = argument.get("value", 0), argument.get("valueTwo") or 0
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position <= 5:
        raise SeccompError(f"{where}.index: {position!r} is not a number from 0 to 5")
    if operator not in OPERATORS:
        raise SeccompError(f"{where}.op: {operator!r} is no operator; those that exist are {', '.join(OPERATORS)}")
    for number in (value, second):
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 64:
            raise SeccompError(f"{where}.value: {number!r} is not an unsigned 64-bit number")
    return position, operator, value, second


def default_action(profile: Mapping[str, Any]) -> int:
    """What happens to a call that no rule is about."""
    errno = profile.get("defaultErrnoRet")
    value = action_value(profile.get("defaultAction"), errno, "seccomp.defaultAction")
    if value == RET_USER_NOTIF:
        raise SeccompError("seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default, nothing could start")
    return value


def abis(profile: Mapping[str, Any], machine: str) -> list[str]:
    """The ABIs that the filter is for: the machine's own, and those of ``architectures`` that its kernel serves."""
    served = SERVED.get(machine)
    if served is None:
        raise SeccompError(f"seccomp: there is no table of system calls for {machine}, only for {', '.join(SERVED)}")
    wanted = [served[0]]
    for name in _list(profile.get("architectures"), "seccomp.architectures"):
        if not isinstance(name, str) or name not in ARCHITECTURES:
            raise SeccompError(f"seccomp.architectures: {name!r} is no architecture of the specification")
        abi = ARCHITECTURES[name]
        if abi in served and abi not in wanted:
            wanted.append(abi)
    return wanted


def notifies(profile: Mapping[str, Any]) -> bool:
    """Whether some call is handed to a listener."""
    entries = _list(profile.get("syscalls"), "seccomp.syscalls")
    return any(isinstance(entry, dict) and entry.get("action") == "SCMP_ACT_NOTIFY" for entry in entries)


def flags(profile: Mapping[str, Any]) -> int:
    """``FILTER_FLAG_*`` to load the profile with. Without ``flags`` in it, no speculation is held back (SPEC_ALLOW).

    A profile that notifies gets FILTER_FLAG_NEW_LISTENER, so that loading returns the listener.
    """
    listening = notifies(profile)
    if listening and not profile.get("listenerPath"):
        raise SeccompError("seccomp: SCMP_ACT_NOTIFY needs seccomp.listenerPath, the socket that gets the listener")
    named = _list(profile.get("flags"), "seccomp.flags")
    if profile.get("flags") is None:
        return FILTER_FLAG_SPEC_ALLOW | (FILTER_FLAG_NEW_LISTENER if listening else 0)
    value = 0
    for name in named:
        if not isinstance(name, str) or name not in FLAGS:
            raise SeccompError(f"seccomp.flags: {name!r} is no flag; those that exist are {', '.join(FLAGS)}")
        value |= FLAGS[name]
    if listening:
        # The kernel has one result for both; and one thread is in sync with itself.
        return value & ~FILTER_FLAG_TSYNC | FILTER_FLAG_NEW_LISTENER
    if value & FILTER_FLAG_WAIT_KILLABLE_RECV:
        raise SeccompError("seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is only for profiles that notify")
    return value
