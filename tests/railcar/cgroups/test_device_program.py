"""The eBPF program for device rules, run by an emulator that knows the few instructions it is made of."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from railcar.cgroups.device_program import generate
from railcar.cgroups.devices import ANY, DEFAULTS, Rule, rules


def emulate(program, kind, access, major, minor):
    context = struct.pack("<III", access << 16 | {"b": 1, "c": 2}[kind], major, minor)
    code = [struct.unpack_from("<BBhi", program, offset) for offset in range(0, len(program), 8)]
    registers = [None] * 11
    at = 0
    while True:
        operation, pair, offset, immediate = code[at]
        destination, source = pair & 15, pair >> 4
        at += 1
        if operation == 0x61:
            registers[destination] = struct.unpack_from("<I", context, offset)[0]
        elif operation == 0xB7:
            registers[destination] = immediate
        elif operation == 0xBF:
            registers[destination] = registers[source]
        elif operation == 0x54:
            registers[destination] &= immediate & 0xFFFFFFFF
        elif operation == 0x74:
            registers[destination] >>= immediate
        elif operation == 0x15:
            at += offset if registers[destination] == immediate else 0
        elif operation == 0x55:
            at += offset if registers[destination] != immediate else 0
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")


def meant(listed, kind, access, major, minor):
    """For every bit, the last rule that speaks of it decides."""
    for bit in (1, 2, 4):
        if not access & bit:
            continue
        allowed = False
        for rule in listed:
            same = rule.kind in ("a", kind) and rule.major in (ANY, major) and rule.minor in (ANY, minor)
            if same and rule.access & bit:
                allowed = rule.allow
        if not allowed:
            return 0
    return 1


numbers = st.sampled_from([ANY, 0, 1, 3, 136])
some_rules = st.lists(
    st.builds(Rule, st.booleans(), st.sampled_from("bc"), numbers, numbers, st.integers(1, 7))
    | st.builds(Rule, st.booleans(), st.just("a"), st.just(ANY), st.just(ANY), st.just(7)),
    max_size=8,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(listed=some_rules)
def test_line_91_the_program_means_what_the_list_means(listed):
    """Checklist 91, on every device that the rules can tell apart, and every access."""
    program = generate(listed)
    for kind in "bc":
        for access in range(1, 8):
            for major in (0, 1, 136, 4000):
                for minor in (0, 3, 9):
                    expected = meant(listed, kind, access, major, minor)
                    assert emulate(program, kind, access, major, minor) == expected


def test_line_91_nothing_is_unreachable():
    """Checklist 91: the verifier of older kernels refuses code after the last exit."""
    program = generate([Rule(True, "c", 1, 3, 7), Rule(False, "a", ANY, ANY, 7)])
    assert len(program) == 8 * 8


def test_line_91_the_default_container():
    """Checklist 91: null may be used, a disk may be made as a node and not be opened."""
    program = generate(rules({}))
    assert emulate(program, "c", 6, 1, 3) == 1
    assert emulate(program, "b", 1, 8, 0) == 1
    assert emulate(program, "b", 2, 8, 0) == 0
    assert len(rules({})) == 1 + len(DEFAULTS)


@pytest.mark.parametrize("kind", ["a", "", None])
def test_line_91_type_a_with_numbers_is_both_kinds(kind):
    """Checklist 91."""
    listed = rules({"devices": [{"allow": True, "type": kind, "major": 7, "access": "r"}]})
    program = generate(listed)
    assert emulate(program, "b", 2, 7, 1) == 1
    assert emulate(program, "c", 2, 7, 1) == 1
    assert emulate(program, "c", 4, 7, 1) == 0
