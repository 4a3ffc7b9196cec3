"""A seccomp listener on its way to the agent: what goes with it, and who sends it.

The process itself does, but where the profile notifies sendmsg(2): that would wait for an agent that does not have the
listener yet. Then the host's side takes it out of the process.
"""

import os
from select import POLLIN, poll

from ocicommon.linux.process import pidfd_getfd
from ocicommon.linux.sockets import send_fds

from railcar import documents, handshake
from railcar.errors import StepError
from railcar.versions import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.handshake import Channel
    from railcar.plan.seccomp import Filter
    from railcar.state import Record

_EBADF, _EPERM = 9, 1
_PAUSE = 1  # milliseconds between two looks: no call of the child's can say when the filter is in


def state(record: "Record", filter_: "Filter", pid: int = 0, status: str = "creating") -> bytes:
    """What goes with a seccomp listener: the container process state. config-linux.md, "Container Process State".

    `pid` 0 is for the process itself to fill in.
    """
    shown = {
        "ociVersion": SPEC_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": filter_.metadata,
        "state": record.public(status),
    }
    return documents.compact(shown).encode()


def announce(channel: "Channel") -> None:
    """In the child, right before it loads the filter: say which number the listener gets, the lowest that is free."""
    number = os.dup(channel.child.fileno())
    os.close(number)
    channel.ask(handshake.LISTENER, str(number).encode())


def hand_on(channel: "Channel", pidfd: int, agent: "Any", told: bytes) -> None:
    """On the host's side: wait for the announcement, then for the listener, and send it with the state.

    A child that is dead is left to who expects its next word. Raises StepError, or the child's error.
    """
    kind, payload = channel.hear()
    if kind != handshake.LISTENER:
        return
    number = int(payload)
    death = poll()
    death.register(pidfd, POLLIN)
    released = False
    while True:
        try:
            listener = pidfd_getfd(pidfd, number)
            break
        except OSError as error:
            if error.errno != _EBADF:
                hint = "linux.seccomp notifies sendmsg, so railcar has to take the listener out of the process"
                raise StepError("seccomp listener", "", error.errno or 0, hint) from None
        if not released:
            channel.go()
            released = True
        elif death.poll(_PAUSE):
            return
    try:
        send_fds(agent, told, [listener])
    finally:
        os.close(listener)
        agent.close()
