"""Another process held for a moment: its seccomp filters, and on x86_64 its registers. ptrace(2)."""

from __future__ import annotations

import errno
import os
import struct

from ocicommon.linux.calls import address, buffer, call
from ocicommon.linux.errors import SyscallError

_GETREGS = 12
_ATTACH = 16
_DETACH = 17
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_GET_FILTER = 0x420C
_GET_METADATA = 0x420D
_INSTRUCTION = 8  # bytes of a struct sock_filter
#: struct user_regs_struct of x86_64, sys/user.h
REGISTERS = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip


def seize(pid: int) -> None:
    """Become the tracer of a thread, which goes on running; ESRCH when it is gone, EPERM when it has one."""
    call("ptrace", _SEIZE, pid, 0, 0, subject=f"seize {pid}")


def interrupt(pid: int) -> None:
    """Have a seized thread stop; waitpid(2) tells when it has."""
    call("ptrace", _INTERRUPT, pid, 0, 0, subject=f"interrupt {pid}")


def detach(pid: int) -> None:
    """Let a stopped thread go; ESRCH when it is not stopped."""
    call("ptrace", _DETACH, pid, 0, 0, subject=f"detach {pid}")


def filters(pid: int) -> list[tuple[bytes, int]]:
    """(program, SECCOMP_FILTER_FLAG_*) of each filter of a stopped thread, the oldest first.

    SyscallError: EIO where the kernel cannot, EACCES without CAP_SYS_ADMIN or under a filter of our own.
    """
    found: list[tuple[bytes, int]] = []
    while True:
        index = len(found)
        try:
            count = call("ptrace", _GET_FILTER, pid, index, 0, subject=f"filter {index} of {pid}")
            program = buffer(count * _INSTRUCTION)
            call("ptrace", _GET_FILTER, pid, index, program, subject=f"filter {index} of {pid}")
            metadata = buffer(struct.pack("QQ", index, 0))
            call("ptrace", _GET_METADATA, pid, 16, metadata, subject=f"flags of filter {index} of {pid}")
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        found.append((bytes(program.raw), struct.unpack("QQ", metadata.raw)[1]))


def stop(pid: int) -> None:
    """Attach to a child of ours and wait until it has stopped."""
    call("ptrace", _ATTACH, pid, 0, 0, subject=f"attach to {pid}")
    os.waitpid(pid, 0)


def registers(pid: int) -> dict[str, int]:
    """The registers of a stopped thread, by name; on x86_64 only."""
    found = buffer(8 * len(REGISTERS))
    call("ptrace", _GETREGS, pid, 0, found, subject=f"registers of {pid}")
    return dict(zip(REGISTERS, struct.unpack(f"<{len(REGISTERS)}Q", found.raw), strict=True))


def robust_list(pid: int) -> int:
    """Where a process's list of robust mutexes begins. get_robust_list(2)"""
    found = buffer(16)
    call("get_robust_list", pid, address(found), address(found) + 8, subject=str(pid))
    return int.from_bytes(found.raw[:8], "little")
