"""What a filter would answer, without loading it."""

from __future__ import annotations

import struct

from ocicommon.linux.seccomp.constants import (
    ALU_AND_K,
    AUDIT_ARCH,
    JMP_JA,
    JMP_JEQ_K,
    JMP_JGE_K,
    JMP_JGT_K,
    JMP_JSET_K,
    LD_W_ABS,
    RET_K,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_DATA = struct.Struct("=iI7Q")
_INSTRUCTION = struct.Struct("=HBBI")


def emulate(program: bytes, arch: int | str, nr: int, args: Sequence[int] = (), pointer: int = 0) -> int:
    """The filter's answer (``RET_*`` and its data) to a call.

    ``arch`` is an AUDIT_ARCH number or the name of an ABI; ``args`` are up to six unsigned 64-bit words.
    Raises ValueError for an instruction that seccomp filters do not have, or a program that runs over its end.
    """
    audit = AUDIT_ARCH[arch] if isinstance(arch, str) else arch
    number = nr - (1 << 32) if nr >= 1 << 31 else nr
    words = [*args, 0, 0, 0, 0, 0, 0][:6]
    data = _DATA.pack(number, audit, pointer, *words)
    accumulator = 0
    at = 0
    while 0 <= at < len(program):
        code, true, false, value = _INSTRUCTION.unpack_from(program, at)
        at += 8
        if code == LD_W_ABS:
            accumulator = int.from_bytes(data[value : value + 4], "little")
        elif code == RET_K:
            answer: int = value
            return answer
        elif code == JMP_JA:
            at += 8 * value
        elif code == ALU_AND_K:
            accumulator &= value
        elif code in _COMPARE:
            at += 8 * (true if _COMPARE[code](accumulator, value) else false)
        else:
            raise ValueError(f"instruction {at // 8 - 1} has code {code:#x}, which no seccomp filter of ours has")
    raise ValueError("the program runs over its end")


_COMPARE = {
    JMP_JEQ_K: int.__eq__,
    JMP_JGT_K: int.__gt__,
    JMP_JGE_K: int.__ge__,
    JMP_JSET_K: int.__and__,
}
