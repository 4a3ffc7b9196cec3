"""What compiled filters answer, by emulation: actions, operators, architectures, unknown and new calls."""

import random

import pytest
from ocicommon.linux.seccomp import compile, default, emulate  # noqa: A004
from ocicommon.linux.seccomp.constants import (
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    RET_KILL_THREAD,
    RET_LOG,
    RET_TRACE,
    RET_TRAP,
    RET_USER_NOTIF,
)
from ocicommon.linux.seccomp.numbers import ABIS, X32_BIT, table

EPERM, ENOSYS = RET_ERRNO | 1, RET_ERRNO | 38
READ = table("x86_64")["read"]


def deny(names, action="SCMP_ACT_ERRNO", **more):
    return {"names": names, "action": action, **more}


def when(index, op, value, second=0):
    return {"index": index, "op": op, "value": value, "valueTwo": second}


@pytest.mark.parametrize(
    ("action", "errno", "answer"),
    [
        ("SCMP_ACT_KILL", None, RET_KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", None, RET_KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", None, RET_KILL_PROCESS),
        ("SCMP_ACT_TRAP", None, RET_TRAP),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", 0, RET_ERRNO),
        ("SCMP_ACT_ERRNO", 4095, RET_ERRNO | 4095),
        ("SCMP_ACT_TRACE", None, RET_TRACE | 1),
        ("SCMP_ACT_TRACE", 9, RET_TRACE | 9),
        ("SCMP_ACT_LOG", None, RET_LOG),
        ("SCMP_ACT_NOTIFY", None, RET_USER_NOTIF),
        ("SCMP_ACT_ALLOW", None, RET_ALLOW),
    ],
)
def test_every_action(action, errno, answer):
    entry = deny(["read"], action) if errno is None else deny(["read"], action, errnoRet=errno)
    for base in ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"):
        program = compile({"defaultAction": base, "syscalls": [entry]}, "x86_64")
        assert emulate(program, "x86_64", READ) == answer


EDGES = [
    0,
    1,
    2,
    0xFFFFFFFE,
    0xFFFFFFFF,
    1 << 32,
    (1 << 32) + 1,
    (5 << 32) + 7,
    (1 << 63),
    (1 << 64) - 2,
    (1 << 64) - 1,
]


HOLDS = {
    "SCMP_CMP_NE": lambda a, v, _: a != v,
    "SCMP_CMP_LT": lambda a, v, _: a < v,
    "SCMP_CMP_LE": lambda a, v, _: a <= v,
    "SCMP_CMP_EQ": lambda a, v, _: a == v,
    "SCMP_CMP_GE": lambda a, v, _: a >= v,
    "SCMP_CMP_GT": lambda a, v, _: a > v,
    "SCMP_CMP_MASKED_EQ": lambda a, v, w: a & v == w & v,
}


@pytest.mark.parametrize(("op", "holds"), HOLDS.items())
def test_every_operator_compares_all_64_bits(op, holds):
    for value in EDGES:
        for second in (0, 1, value) if op == "SCMP_CMP_MASKED_EQ" else (0,):
            entry = deny(["read"], args=[when(3, op, value, second)])
            program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry]}, "x86_64")
            for argument in EDGES:
                wanted = EPERM if holds(argument, value, second) else RET_ALLOW
                assert emulate(program, "x86_64", READ, (9, 9, 9, argument, 9, 9)) == wanted, (value, second, argument)


def test_conditions_of_one_entry_must_all_hold_unless_two_are_about_one_argument():
    both = deny(["read"], args=[when(0, "SCMP_CMP_EQ", 1), when(1, "SCMP_CMP_EQ", 2)])
    program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [both]}, "x86_64")
    assert [emulate(program, "x86_64", READ, a) for a in ((1, 2), (1, 0), (0, 2))] == [EPERM, RET_ALLOW, RET_ALLOW]
    either = deny(["read"], args=[when(0, "SCMP_CMP_EQ", 1), when(0, "SCMP_CMP_EQ", 2)])
    program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [either]}, "x86_64")
    assert [emulate(program, "x86_64", READ, (a,)) for a in (1, 2, 3)] == [EPERM, EPERM, RET_ALLOW]


def test_a_rule_without_conditions_beats_those_with():
    conditional = deny(["read"], args=[when(0, "SCMP_CMP_EQ", 1)], errnoRet=5)
    always = deny(["read"], errnoRet=6)
    for entries in ([conditional, always], [always, conditional], [always, deny(["read"], errnoRet=7)]):
        program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries}, "x86_64")
        assert emulate(program, "x86_64", READ, (1,)) == RET_ERRNO | 6


def test_names_that_do_not_exist_are_skipped():
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny(["no_such_call", "read", "swapcontext"])]}
    assert emulate(compile(profile, "x86_64"), "x86_64", READ) == EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_calls_newer_than_the_profile_are_unknown_and_older_ones_denied(machine):
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [deny(["read", "openat2"], "SCMP_ACT_ALLOW")]}
    program = compile(profile, machine)
    numbers = table(machine)
    assert emulate(program, machine, numbers["read"]) == RET_ALLOW
    assert emulate(program, machine, numbers["openat2"]) == RET_ALLOW
    assert emulate(program, machine, numbers["clone3"]) == EPERM
    assert emulate(program, machine, numbers["openat2"] + 1) == ENOSYS
    assert emulate(program, machine, 100_000) == ENOSYS


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_a_default_that_lets_pass_lets_new_calls_pass(action):
    program = compile({"defaultAction": action, "syscalls": [deny(["read"])]}, "x86_64")
    assert emulate(program, "x86_64", 100_000) == emulate(program, "x86_64", 1) != ENOSYS


def test_the_highest_named_call_counts_even_when_its_rule_changes_nothing():
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [deny(["read"], "SCMP_ACT_ALLOW"), deny(["openat2"])]}
    program = compile(profile, "x86_64")
    assert emulate(program, "x86_64", 437) == EPERM
    assert emulate(program, "x86_64", 438) == ENOSYS


def test_only_the_architectures_of_the_profile_may_call():
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny(["read"])]}
    alone = compile(profile, "x86_64")
    assert emulate(alone, "x86_64", READ) == EPERM
    assert emulate(alone, "i386", 3) == RET_KILL_THREAD
    assert emulate(alone, "x32", X32_BIT | READ) == RET_KILL_THREAD
    assert emulate(alone, "x86_64", 0xFFFFFFFF) == RET_ALLOW
    assert emulate(alone, 0xDEADBEEF, 0) == RET_KILL_THREAD
    three = compile({**profile, "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"]}, "x86_64")
    assert emulate(three, "i386", table("i386")["read"]) == EPERM
    assert emulate(three, "i386", table("i386")["write"]) == RET_ALLOW
    assert emulate(three, "x32", X32_BIT | READ) == EPERM
    assert emulate(three, "x32", X32_BIT | 1) == RET_ALLOW
    assert emulate(three, "arm", 3) == RET_KILL_THREAD
    both = compile({**profile, "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]}, "aarch64")
    assert emulate(both, "aarch64", table("aarch64")["read"]) == EPERM
    assert emulate(both, "arm", table("arm")["read"]) == EPERM
    assert emulate(both, "arm", table("arm")["set_tls"]) == RET_ALLOW


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL"])
def test_a_profile_without_rules(machine, action):
    program = compile({"defaultAction": action}, machine)
    assert emulate(program, machine, 1) == (RET_ALLOW if action == "SCMP_ACT_ALLOW" else RET_KILL_THREAD)


def test_old_32_bit_programs_reach_sockets_through_the_rules_about_sockets():
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [deny(["connect", "shmget"], "SCMP_ACT_ALLOW")],
    }
    program = compile(profile, "x86_64")
    numbers = table("i386")
    assert emulate(program, "i386", numbers["socketcall"], (3,)) == RET_ALLOW
    assert emulate(program, "i386", numbers["socketcall"], (1,)) == EPERM
    assert emulate(program, "i386", numbers["ipc"], (23,)) == RET_ALLOW
    assert emulate(program, "i386", numbers["ipc"], (22,)) == EPERM


def test_of_several_conditional_entries_the_first_that_holds_counts():
    chance = random.Random(3)
    for _ in range(60):
        entries = []
        for errno in range(chance.choice([2, 3, 5])):
            indexes = chance.sample(range(3), chance.choice([1, 2]))
            arguments = [
                when(index, chance.choice(list(HOLDS)), chance.choice(EDGES), chance.choice(EDGES)) for index in indexes
            ]
            entries.append(deny(["read"], args=arguments, errnoRet=errno + 10))
        program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries}, "x86_64")
        for _ in range(200):
            given = [chance.choice(EDGES) for _ in range(3)]
            wanted = RET_ALLOW
            for entry in reversed(entries):
                if all(HOLDS[a["op"]](given[a["index"]], a["value"], a["valueTwo"]) for a in entry["args"]):
                    wanted = RET_ERRNO | entry["errnoRet"]
            assert emulate(program, "x86_64", READ, given) == wanted, (entries, given)


def test_jumps_beyond_a_conditional_jumps_reach():
    chance = random.Random(7)
    names = sorted(table("x86_64"), key=table("x86_64").get)
    entries, wanted = [], {}
    for index, name in enumerate(names[:300]):
        values = [chance.randrange(1 << 64) for _ in range(2)]
        for offset, value in enumerate(values):
            errno = (2 * index + offset) % 4000 + 2
            entries.append(deny([name], args=[when(index % 6, "SCMP_CMP_EQ", value)], errnoRet=errno))
            wanted[name, value, index % 6] = RET_ERRNO | errno
    program = compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries}, "x86_64")
    assert len(program) // 8 > 2500
    for (name, value, index), answer in wanted.items():
        arguments = [0] * 6
        arguments[index] = value
        assert emulate(program, "x86_64", table("x86_64")[name], arguments) == answer
        arguments[index] ^= 1 << 40
        assert emulate(program, "x86_64", table("x86_64")[name], arguments) == RET_ALLOW


def test_a_filter_that_the_kernel_would_not_take_is_refused():
    entries = [
        deny([name], args=[when(0, "SCMP_CMP_EQ", value) for value in range(9)], errnoRet=errno)
        for errno, name in enumerate(table("x86_64"))
    ]
    with pytest.raises(ValueError, match="the kernel takes 4096"):
        compile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries}, "x86_64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_dockers_profile(machine):
    plain = compile(default.docker(["CAP_CHOWN"], machine), machine)
    admin = compile(default.docker(["CAP_SYS_ADMIN", "CAP_SYS_TIME"], machine), machine)

    def answers(program, name, *arguments):
        return emulate(program, machine, table(machine)[name], arguments)

    assert answers(plain, "openat") == RET_ALLOW
    for name in ("mount", "reboot", "kexec_load", "bpf", "keyctl", "unshare", "settimeofday", "io_uring_setup"):
        assert answers(plain, name) == EPERM, name
    for name in ("mount", "settimeofday", "clone3", "unshare", "bpf"):
        assert answers(admin, name) == RET_ALLOW, name
    assert answers(admin, "reboot") == EPERM
    assert answers(plain, "clone3") == ENOSYS
    assert answers(plain, "clone", 0x11) == RET_ALLOW
    assert answers(plain, "clone", 0x10000000) == EPERM
    assert answers(admin, "clone", 0x10000000) == RET_ALLOW
    assert answers(plain, "socket", 40) == EPERM
    assert answers(plain, "socket", 2) == RET_ALLOW
    assert answers(plain, "personality", 0xFFFFFFFF) == RET_ALLOW
    assert answers(plain, "personality", 0x40000) == EPERM


def test_dockers_profile_names_only_calls_that_exist_somewhere():
    known = set().union(*(table(abi) for abi in ABIS)) | {"getsid", "arm_sync_file_range", "utimensat_time64"}
    known |= {"clock_getres_time64", "clock_nanosleep_time64"}
    for machine in ("x86_64", "aarch64"):
        for entry in default.docker(default._BY_CAPABILITY, machine)["syscalls"]:
            assert set(entry["names"]) <= known, set(entry["names"]) - known
