"""Programs of another processor than this machine's: told by their first bytes, and said. elf(5)."""

from __future__ import annotations

import os

from crashcart import report
from crashcart.image import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashcart.targets import Target

HEAD = 20
_EMULATOR = b"qemu-"
_MACHINES = {
    3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64",
    258: "loongarch64",
}  # fmt: skip


def machine_of(head: bytes) -> str:
    """The processor that a program with these first bytes is for, as uname(2) calls it; empty when it is no ELF."""
    if len(head) < HEAD or head[:4] != b"\x7fELF":
        return ""
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _MACHINES.get(number, f"machine {number}")


def of_program(path: str | bytes) -> str:
    """The processor that the program at ``path`` is for; empty when that is not to be learned."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return machine_of(os.read(fd, HEAD))
    except OSError:
        return ""
    finally:
        os.close(fd)


def why_not_executed(path: str, machine: str, mine: str) -> str:
    """What to add to the message that the kernel does not know the format of a program; may be empty."""
    if not machine or machine == mine:
        return ""
    told = f": it is for {machine}, and this machine is {mine}"
    return f"{told}; `crashcart build` makes an image for it" if path.startswith(f"{ROOT}/") else told


def tell(target: Target) -> None:
    """Say that the container's programs are for another processor: a debugger sees their emulator."""
    path = f"/proc/{target.pid}/exe"
    try:
        name = os.fsencode(os.readlink(path)).rpartition(b"/")[2]
    except OSError:
        return  # gone, or a thread of the kernel
    mine = os.uname().machine
    if name.startswith(_EMULATOR):
        emulated = name.decode("ascii", "replace").removeprefix("qemu-").removesuffix("-static")
        report.say(f"{target.container.describe()} is for {emulated}, emulated by qemu; the tools are for {mine}")
        return
    machine = of_program(path)
    if machine not in ("", mine):
        report.say(f"{target.container.describe()} is for {machine}; the tools are for {mine}")
