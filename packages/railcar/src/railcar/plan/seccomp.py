"""Where the seccomp filter is loaded: by the stub, before the stub, or by Python in the stub's place.

With no_new_privs the stub loads it, last of all. Without, loading needs CAP_SYS_ADMIN, which an exec as another user
would take: Python loads it before the stub. A filter that would then stop the stub itself is told by running it
through the emulator; in that case Python does the stub's work: it waits, loads and executes.
"""

import os

from railcar.errors import ConfigError
from railcar.plan.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What runs between loading and the program: Python's last calls, then the stub's.
_BETWEEN = "sendto recvfrom prctl execveat rt_sigaction read write fcntl execve exit_group"
_NUMBERS = {
    "x86_64": (44, 45, 157, 322, 13, 0, 1, 72, 59, 231),
    "aarch64": (206, 207, 167, 281, 134, 63, 64, 25, 221, 94),
}
# clone, rt_sigprocmask, rt_sigtimedwait, wait4, kill: what the stub calls as an init
_INIT = {"x86_64": (56, 14, 128, 61, 62), "aarch64": (220, 135, 137, 260, 129)}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SENDMSG = {"x86_64": 46, "aarch64": 211}
_NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
_PASSING = (0x7FFF0000, 0x7FFC0000)  # SECCOMP_RET_ALLOW, SECCOMP_RET_LOG
_MACHINE = os.uname().machine
#: The step that fails when nobody listens at listenerPath.
NO_AGENT = "failed to connect with seccomp agent"


class Filter:
    """`place`: "stub", "python" (before the stub) or "last" (no stub). `listener`: path of a socket, or "".

    `by_host`: the process itself could not send the listener, since sendmsg waits for who has it.
    """

    __slots__ = ("by_host", "flags", "listener", "metadata", "place", "program")

    def __init__(self, program: bytes, flags: int, place: str, listener: str, metadata: str) -> None:
        self.program, self.flags, self.place, self.listener, self.metadata = program, flags, place, listener, metadata
        self.by_host = False


def plan(profile: "dict[str, Any] | None", process: Process, has_stub: bool) -> Filter | None:
    """Compile and place the filter of `linux.seccomp`. Raises ConfigError."""
    if not profile:
        return None
    from ocicommon.linux import seccomp

    try:
        program, flags = seccomp.compile(profile), seccomp.flags(profile)
    except seccomp.SeccompError as error:
        raise ConfigError(f"linux.{error}") from None
    listener = profile.get("listenerPath") or ""
    metadata = profile.get("listenerMetadata") or ""
    if not has_stub:
        place = "last"
    elif process.no_new_privileges and not listener:
        place = "stub"
    elif _lets_stub_pass(program, keeps_capabilities(process)):
        place = "python"
    else:
        place = "last"
    made = Filter(program, flags, place, listener, metadata)
    number = _SENDMSG.get(_MACHINE, -1)
    if listener and number >= 0:
        made.by_host = seccomp.emulate(program, _MACHINE, number) & 0xFFFF0000 == _NOTIFY
    if made.by_host and place == "last":
        refuse_sendmsg("the profile stops other calls that are made before the program is executed")
    return made


def refuse_sendmsg(reason: str) -> None:
    """Raise that the listener could reach no agent."""
    raise ConfigError(
        "linux.seccomp: SCMP_ACT_NOTIFY cannot be used here for the sendmsg syscall, by which the listener itself "
        f"goes to the agent, since {reason}: give sendmsg another action"
    )


def keeps_capabilities(process: Process) -> bool:
    """Whether the stub has sets to restore: an exec takes them from every user but root."""
    return process.uid != 0 and bool(process.permitted)


def lets_init_work(program: bytes) -> bool:
    """Whether a filter allows the system calls of --init."""
    from ocicommon.linux import seccomp

    return all(seccomp.emulate(program, _MACHINE, number) & 0xFFFF0000 in _PASSING for number in _INIT[_MACHINE])


def _lets_stub_pass(program: bytes, capset: bool) -> bool:
    from ocicommon.linux import seccomp

    numbers = _NUMBERS.get(_MACHINE)
    if numbers is None:
        return False
    wanted = (*numbers, _CAPSET[_MACHINE]) if capset else numbers
    return all(seccomp.emulate(program, _MACHINE, number) & 0xFFFF0000 in _PASSING for number in wanted)
