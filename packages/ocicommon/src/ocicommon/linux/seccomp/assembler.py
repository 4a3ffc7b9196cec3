"""Classic BPF written from its end to its start.

Jumps only go forward, so that everything a jump may lead to is there, at a known distance, when the jump is written.
Positions count from the end of the program.
"""

from __future__ import annotations

import struct

from ocicommon.linux.seccomp.constants import (
    ALU_AND_K,
    JMP_JA,
    JMP_JEQ_K,
    JMP_JGE_K,
    JMP_JGT_K,
    LD_W_ABS,
    MOST_INSTRUCTIONS,
    OFFSET_ARGS,
    RET_K,
)
from ocicommon.linux.seccomp.profile import SeccompError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocicommon.linux.seccomp.profile import Condition, Conditions

    # an action, or the alternatives with their actions in order, and the action when none holds
    Leaf = int | tuple[tuple[tuple[Conditions, int], ...], int]

# A conditional jump reaches 255 instructions; two may still be written between the measuring and the jump.
_REACH = 253
_LOW = 0xFFFFFFFF


class Assembler:
    """A program in the making; each method returns the position of what it wrote."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}

    def program(self) -> bytes:
        """The program as ``struct sock_filter[]``."""
        if len(self.code) > MOST_INSTRUCTIONS:
            raise SeccompError(
                f"seccomp: the profile makes a filter of {len(self.code)} instructions, the kernel takes "
                f"{MOST_INSTRUCTIONS}; use fewer conditions on arguments"
            )
        flat = [number for instruction in reversed(self.code) for number in instruction]
        return struct.pack("=" + "HBBI" * len(self.code), *flat)

    def ret(self, action: int) -> int:
        """Return an action: one within reach is used again."""
        code = self.code
        position = self._returns.get(action)
        if position is None or len(code) - position > _REACH:
            position = self._returns[action] = len(code)
            code.append((RET_K, 0, 0, action))
        return position

    def jump(self, operation: int, value: int, true: int, false: int) -> int:
        """Compare the accumulator; a target beyond a conditional jump's reach gets a long jump right behind."""
        code = self.code
        if len(code) - true > _REACH:
            code.append((JMP_JA, 0, 0, len(code) - true - 1))
            true = len(code) - 1
        if len(code) - false > _REACH:
            code.append((JMP_JA, 0, 0, len(code) - false - 1))
            false = len(code) - 1
        position = len(code)
        code.append((operation, position - true - 1, position - false - 1, value))
        return position

    def load(self, offset: int) -> int:
        """Load a word of ``struct seccomp_data``, and go on with what was written last."""
        self.code.append((LD_W_ABS, 0, 0, offset))
        return len(self.code) - 1

    def mask(self, value: int) -> int:
        """Keep these bits of the accumulator, and go on with what was written last."""
        self.code.append((ALU_AND_K, 0, 0, value))
        return len(self.code) - 1

    def search(self, starts: list[int], leaves: list[Leaf], low: int, high: int) -> int:
        """Find by halving in which range (from ``starts[i]`` up to the next) the accumulator is."""
        if high - low == 1:
            leaf = leaves[low]
            return self.ret(leaf) if isinstance(leaf, int) else self.alternatives(*leaf)
        middle = (low + high) >> 1
        right = self.search(starts, leaves, middle, high)
        left = self.search(starts, leaves, low, middle)
        return self.jump(JMP_JGE_K, starts[middle], right, left)

    def alternatives(self, rules: tuple[tuple[Conditions, int], ...], otherwise: int) -> int:
        """The action of the first rule whose conditions all hold."""
        entry = self.ret(otherwise)
        for conditions, action in reversed(rules):
            following = entry
            entry = self.ret(action)
            for condition in reversed(conditions):
                entry = self.condition(condition, entry, following)
        return entry

    def condition(self, condition: Condition, true: int, false: int) -> int:
        """One comparison of a 64-bit argument, upper half first."""
        index, operator, value, second = condition
        low_at = OFFSET_ARGS + 8 * index
        high_at = low_at + 4
        high, low = value >> 32, value & _LOW
        if operator == "SCMP_CMP_MASKED_EQ":
            return self._masked(high_at, low_at, value, second, true, false)
        if operator in ("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE"):
            true, false = false, true
        if operator in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
            self.jump(JMP_JEQ_K, low, true, false)
            lower = self.load(low_at)
            self.jump(JMP_JEQ_K, high, lower, false)
            return self.load(high_at)
        self.jump(JMP_JGE_K if operator in ("SCMP_CMP_GE", "SCMP_CMP_LT") else JMP_JGT_K, low, true, false)
        lower = self.load(low_at)
        equal = self.jump(JMP_JEQ_K, high, lower, false)
        self.jump(JMP_JGT_K, high, true, equal)
        return self.load(high_at)

    def _masked(self, high_at: int, low_at: int, bits: int, value: int, true: int, false: int) -> int:
        value &= bits
        self.jump(JMP_JEQ_K, value & _LOW, true, false)
        self.mask(bits & _LOW)
        lower = self.load(low_at)
        if not bits >> 32:
            return lower
        self.jump(JMP_JEQ_K, value >> 32, lower, false)
        self.mask(bits >> 32)
        return self.load(high_at)
