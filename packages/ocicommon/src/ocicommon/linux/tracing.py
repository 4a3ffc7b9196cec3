"""A stopped child's registers, ptrace(2), on x86_64."""

from __future__ import annotations

import os
import struct

from ocicommon.linux.calls import address, buffer, syscall

_PTRACE = 101
_GETREGS, _ATTACH = 12, 16
_GET_ROBUST_LIST = 274
#: struct user_regs_struct, sys/user.h
NAMES = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip


def stop(pid: int) -> None:
    """Attach to a child of ours and wait until it has stopped. Raises SyscallError."""
    syscall("ptrace", _PTRACE, _ATTACH, pid, 0, 0)
    os.waitpid(pid, 0)


def registers(pid: int) -> dict[str, int]:
    """The registers of a process that we have stopped, by name."""
    found = buffer(8 * len(NAMES))
    syscall("ptrace", _PTRACE, _GETREGS, pid, 0, address(found))
    return dict(zip(NAMES, struct.unpack(f"<{len(NAMES)}Q", found.raw), strict=True))


def robust_list(pid: int) -> int:
    """Where a process's list of robust mutexes begins, get_robust_list(2)."""
    found = buffer(16)
    syscall("get_robust_list", _GET_ROBUST_LIST, pid, address(found), address(found) + 8)
    return int.from_bytes(found.raw[:8], "little")
