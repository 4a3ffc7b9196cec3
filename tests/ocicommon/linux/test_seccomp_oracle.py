"""Our filters and libseccomp's give the same answers, over tens of thousands of calls.

Left out are the three kinds in which they differ: calls newer than the profile (runtimes add ENOSYS to libseccomp's
program), values above 32 bits on 32-bit ABIs (libseccomp looks at the lower half only), and overlapping conditions
of several entries about one call (libseccomp 2.5 merges them wrongly; test_seccomp_filter compares with the meaning).
"""

import random

import pytest
from linux_support import libseccomp
from ocicommon.linux.seccomp import compile, default, emulate  # noqa: A004
from ocicommon.linux.seccomp.constants import AUDIT_ARCH, OPERATORS
from ocicommon.linux.seccomp.numbers import table

LIBRARY = libseccomp.library()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="needs libseccomp.so.2 to compare with")

MACHINES = {"x86_64": ("x86_64", "i386", "x32"), "aarch64": ("aarch64", "arm")}
NAMES = {"x86_64": "SCMP_ARCH_X86_64", "i386": "SCMP_ARCH_X86", "x32": "SCMP_ARCH_X32"}
NAMES |= {"aarch64": "SCMP_ARCH_AARCH64", "arm": "SCMP_ARCH_ARM"}


def compare(profile, machine, calls):
    ours, theirs = compile(profile, machine), libseccomp.compiled(LIBRARY, profile, machine)
    for abi, number, arguments in calls:
        mine, reference = emulate(ours, abi, number, arguments), emulate(theirs, abi, number, arguments)
        assert mine == reference, (abi, number, [hex(a) for a in arguments], hex(mine), hex(reference))
    return len(calls)


def interesting(chance, wide):
    small = [0, 1, 2, 8, 40, 0x11, 0x20008, 0x7E020000, 0x10000000, 0xFFFFFFFF]
    value = chance.choice([*small, chance.randrange(1 << 32)])
    return value | chance.choice([0, 0, 1, 1 << 31]) << 32 if wide else value


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("capabilities", [[], ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]])
def test_dockers_profile_answers_alike(machine, capabilities):
    chance = random.Random(1)
    profile = default.docker(capabilities, machine)
    for entry in profile["syscalls"]:
        entry["names"] = [name for name in entry["names"] if libseccomp.supported(LIBRARY, name)]
    calls = []
    for abi in MACHINES[machine]:
        last = max(
            table(abi).get(name, 0) for entry in profile["syscalls"] for name in entry["names"] if name in table(abi)
        )
        for number in table(abi).values():
            if number <= last:
                for _ in range(12):
                    arguments = [interesting(chance, abi in ("x86_64", "aarch64")) for _ in range(3)]
                    calls.append((abi, number, arguments))
    assert compare(profile, machine, calls) > 7000


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("seed", range(6))
def test_random_profiles_answer_alike(machine, seed):
    chance = random.Random(seed)
    usable = sorted(
        name
        for name in table(machine)
        if libseccomp.supported(LIBRARY, name) and name not in MULTIPLEXED and table(machine)[name] < 440
    )
    entries = []
    for name in chance.sample(usable, 120):
        action = chance.choice(["SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"])
        errno = {"errnoRet": chance.randrange(2, 100)} if action == "SCMP_ACT_ERRNO" else {}
        for _ in range(chance.choice([0, 1, 1])):
            arguments = [
                {"index": index, "op": chance.choice(OPERATORS), "value": interesting(chance, False), "valueTwo": 0}
                for index in chance.sample(range(6), chance.choice([1, 1, 2]))
            ]
            entries.append({"names": [name], "action": action, **errno, "args": arguments})
        if chance.random() < 0.4:
            entries.append({"names": [name], "action": action, **errno})
    for entry in entries:
        for argument in entry.get("args", []):
            argument["valueTwo"] = argument["value"] & chance.choice([0, 0xFF, 0xFFFFFFFF])
    wanted = [NAMES[abi] for abi in MACHINES[machine] if chance.random() < 0.7]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": wanted, "syscalls": entries}
    calls = []
    for abi in MACHINES[machine]:
        numbers = [*table(abi).values(), 1000, 0x3FFFFFFF, 0x40000400, 0xFFFFFFFF]
        for number in numbers:
            for _ in range(4):
                arguments = [interesting(chance, abi in ("x86_64", "aarch64")) for _ in range(6)]
                calls.append((abi, number, arguments))
    assert compare(profile, machine, calls) > 2500
    assert emulate(compile(profile, machine), 0x1234, 0) == emulate(
        libseccomp.compiled(LIBRARY, profile, machine), 0x1234, 0
    )


MULTIPLEXED = {
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
}


def test_rules_about_sockets_reach_the_old_32_bit_door_alike():
    names = sorted(name for name in MULTIPLEXED if libseccomp.supported(LIBRARY, name))
    for chosen in (names[::2], names[1::2]):
        entries = [{"names": chosen, "action": "SCMP_ACT_TRAP"}]
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": entries}
        calls = [("i386", number, [call]) for number in table("i386").values() for call in range(26)]
        compare(profile, "x86_64", calls)


def test_the_tables_are_the_librarys():
    for abi, arch in libseccomp.ARCH.items():
        resolve = LIBRARY.seccomp_syscall_resolve_name_arch
        for name, number in table(abi).items():
            theirs = resolve(arch, name.encode())
            if theirs >= 0:
                assert theirs == number, (abi, name)
    assert AUDIT_ARCH["x32"] == AUDIT_ARCH["x86_64"]
