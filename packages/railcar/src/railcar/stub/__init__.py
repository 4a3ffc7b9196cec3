"""The last program before the container's own: a static ELF of a few hundred bytes, made here.

It waits for `start` or SIGTERM (create only), writes the LSM label for the next exec, announces itself, marks its
descriptors close-on-exec, loads the seccomp filter, and executes argv[1] with argv[2:] and its own environment.
What fails goes to the reply descriptor as four bytes, little endian: step << 24 | errno.

A container that waits costs two pages, and `#!/proc/self/exe` in an image finds this and not the host's interpreter.
"""

import os

from railcar.errors import RailcarError
from railcar.stub import elf
from railcar.stub.assembler import Rows, assemble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What the announcing byte says, and the steps of a failure.
ANNOUNCED = b"S"
STEPS = {
    1: "open the LSM attribute",
    2: "set the LSM label",
    3: "load the seccomp filter",
    4: "execute the program",
    5: "set the capabilities",
    6: "make the program's process",
}
MACHINE = os.uname().machine


class Needs:
    """What one stub has to do. Descriptor numbers are those in the stub; -1 for none.

    `go` is read until one byte comes; `reply` gets the announcement and failures; `proc` is an open procfs, needed
    for `label`; `label` is written to `attribute` (relative to procfs); `program` is a BPF program, `flags` its
    SECCOMP_FILTER_FLAG_*. `capabilities`: (effective, permitted, inheritable, ambient) to go on with, or None: those of
    a user other than root come through the exec of the stub as ambient ones, and count when the program is looked up.
    `init`: stay as the program's init, see `railcar.stub.init`.
    """

    __slots__ = ("attribute", "capabilities", "flags", "go", "init", "label", "proc", "program", "reply")

    def __init__(
        self,
        *,
        go: int,
        reply: int,
        proc: int = -1,
        label: bytes = b"",
        attribute: bytes = b"thread-self/attr/exec",
        program: bytes = b"",
        flags: int = 0,
        capabilities: "tuple[int, int, int, int] | None" = None,
        init: bool = False,
    ) -> None:
        self.capabilities = capabilities
        self.init = init
        self.go, self.reply, self.proc = go, reply, proc
        self.label, self.attribute, self.program, self.flags = label, attribute, program, flags

    def descriptors(self) -> list[str]:
        """The names of those that the container's program must not get."""
        return [name for name in ("go", "reply", "proc") if getattr(self, name) >= 0]


def supported(machine: str = MACHINE) -> bool:
    """True where there is a stub for the architecture; elsewhere Python waits itself."""
    return machine in ("x86_64", "aarch64")


def rows(needs: Needs, machine: str = MACHINE) -> Rows:
    """The instructions of the stub. Raises RailcarError on an architecture without one."""
    found: Rows = _architecture(machine).rows(needs)
    return found


def _architecture(machine: str) -> "Any":
    if machine == "x86_64":
        from railcar.stub import x86_64

        return x86_64
    if machine == "aarch64":
        from railcar.stub import aarch64

        return aarch64
    raise RailcarError(f"there is no stub for {machine}")


def symbols(needs: Needs) -> dict[str, int]:
    """The numbers that the instructions name."""
    return {
        "go": max(needs.go, 0),
        "reply": needs.reply,
        "proc": max(needs.proc, 0),
        "flags": needs.flags,
        "label_length": len(needs.label),
    }


def image(needs: Needs, machine: str = MACHINE) -> bytes:
    """The whole ELF file."""
    program = needs.program
    data = {
        # struct sock_fprog: the number of instructions, then where they are (filled in by the ELF writer)
        "program": (len(program) // 8).to_bytes(8, "little") + bytes(8),
        "filter": program,
        "letter": ANNOUNCED,
        "terminated": _architecture(machine).TERMINATED if needs.go >= 0 else b"",
        "attribute": needs.attribute + b"\0",
        "label": needs.label,
        "header": b"",
        "sets": b"",
    }
    if needs.capabilities is not None:
        from ocicommon.linux.capabilities import capset_buffers

        data["header"], data["sets"] = capset_buffers(*needs.capabilities[:3])
    return elf.file(assemble, rows(needs, machine), symbols(needs), data, machine)


def executable(data: bytes) -> int:
    """A descriptor of an immutable file with this content, to be executed; close-on-exec."""
    from ocicommon.linux.errors import SyscallError
    from ocicommon.linux.files import sealed_memfd

    try:
        return sealed_memfd("railcar", data)
    except SyscallError as error:
        if error.errno not in (13, 38):  # EACCES: vm.memfd_noexec=2; ENOSYS
            raise
    from ocicommon.linux.detached import file_on_tmpfs

    return file_on_tmpfs(data)


def failure(reply: bytes) -> "tuple[str, int] | None":
    """(step, errno) out of what the stub wrote, or None when it announced itself and wrote nothing more."""
    rest = reply.removeprefix(ANNOUNCED)
    if len(rest) < 4:
        return None
    number = int.from_bytes(rest[:4], "little")
    return STEPS.get(number >> 24, "start the program"), number & 0xFFFFFF
