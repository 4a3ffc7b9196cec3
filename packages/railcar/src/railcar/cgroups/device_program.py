"""Device rules as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE: what cgroup v2 has instead of devices.allow.

The rules are asked from the last to the first, so that the last one that speaks of a device decides, for each access
bit of its own: a request is denied by the first denying rule that touches a bit still open, and allowed when no bit
is open. The context is ``struct bpf_cgroup_dev_ctx``: u32 access << 16 | type, u32 major, u32 minor (linux/bpf.h).
"""

from _struct import pack

from railcar.cgroups.devices import ANY, Rule

KINDS = {"b": 1, "c": 2}
EVERYTHING = 7

# classes and modes of linux/bpf_common.h and linux/bpf.h, put together
LOAD_WORD = 0x61  # dst = *(u32 *)(src + off)
MOVE = 0xB7  # 64-bit, immediate
MOVE_REGISTER = 0xBF
AND32 = 0x54
SHIFT_RIGHT32 = 0x74
JUMP_EQUAL = 0x15
JUMP_NOT_EQUAL = 0x55
EXIT = 0x95

RESULT, CONTEXT, KIND, OPEN, MAJOR, MINOR, SCRATCH = 0, 1, 2, 3, 4, 5, 6


def instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """One ``struct bpf_insn``."""
    return pack("<BBhi", code, destination | source << 4, offset, immediate)


def _answer(allow: bool) -> list[bytes]:
    return [instruction(MOVE, RESULT, immediate=int(allow)), instruction(EXIT)]


def _rule(rule: Rule) -> tuple[list[bytes], bool]:
    """The instructions of a rule, and whether they always end the program."""
    if rule.access == EVERYTHING:
        body = _answer(rule.allow)
    elif rule.allow:
        body = [instruction(AND32, OPEN, immediate=EVERYTHING & ~rule.access)]
        body += [instruction(JUMP_NOT_EQUAL, OPEN, offset=2, immediate=0), *_answer(True)]
    else:
        body = [instruction(MOVE_REGISTER, SCRATCH, OPEN), instruction(AND32, SCRATCH, immediate=rule.access)]
        body += [instruction(JUMP_EQUAL, SCRATCH, offset=2, immediate=0), *_answer(False)]
    tests = []
    if rule.kind != "a":
        tests.append((KIND, KINDS[rule.kind]))
    if rule.major != ANY:
        tests.append((MAJOR, rule.major))
    if rule.minor != ANY:
        tests.append((MINOR, rule.minor))
    head = [
        instruction(JUMP_NOT_EQUAL, register, offset=len(tests) - 1 - index + len(body), immediate=value)
        for index, (register, value) in enumerate(tests)
    ]
    return head + body, not tests and rule.access == EVERYTHING


def generate(rules: list[Rule], otherwise: bool = False) -> bytes:
    """The program for rules in the order of the configuration; ``otherwise`` answers for what none of them speaks
    of."""
    code = [
        instruction(LOAD_WORD, KIND, CONTEXT, 0),
        instruction(MOVE_REGISTER, OPEN, KIND),
        instruction(AND32, KIND, immediate=0xFFFF),
        instruction(SHIFT_RIGHT32, OPEN, immediate=16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8),
    ]
    for rule in reversed(rules):
        part, final = _rule(rule)
        code += part
        if final:
            # What follows could never run, and the verifier refuses code that it cannot reach.
            return b"".join(code)
    return b"".join(code + _answer(otherwise))
