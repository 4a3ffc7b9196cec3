"""What a profile may say, and the sentence for each thing it may not."""

import pytest
from ocicommon.linux import seccomp
from ocicommon.linux.seccomp import constants

ALLOW = {"defaultAction": "SCMP_ACT_ALLOW"}


def rule(**more):
    return {**ALLOW, "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", **more}]}


def argument(**more):
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **more}])


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ({}, "seccomp.defaultAction: None is no action"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction: SCMP_ACT_NOTIFY cannot be the default"),
        ({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 5}, "SCMP_ACT_KILL takes no errno, but 5 is given"),
        (rule(action="ALLOW"), r"syscalls\[0\].action: 'ALLOW' is no action"),
        (rule(errnoRet=-1), r"syscalls\[0\].action: the errno -1 is not a number from 0 to 65535"),
        (rule(errnoRet=True), "the errno True"),
        ({**ALLOW, "syscalls": {}}, r"seccomp.syscalls: {} is not a list"),
        ({**ALLOW, "syscalls": [None]}, r"seccomp.syscalls\[0\]: None is not an object"),
        ({**ALLOW, "architectures": "x"}, r"seccomp.architectures: 'x' is not a list"),
        ({**ALLOW, "architectures": [[]]}, r"\[\] is no architecture"),
        (rule(names="read"), r"names: 'read' is not a list"),
        (rule(names=["read", 1]), r"names: not all of \['read', 1\] are names"),
        (rule(args=True), r"args: True is not a list"),
        (rule(args=[1]), r"args\[0\]: 1 is not an object"),
        (rule(names=[]), r"syscalls\[0\].names is empty"),
        (rule(names=["write"], action="SCMP_ACT_NOTIFY"), "cannot be used for the write"),
        (argument(index=6), r"syscalls\[0\].args\[0\].index: 6 is not a number from 0 to 5"),
        (argument(op="=="), r"args\[0\].op: '==' is no operator"),
        (argument(value=-1), r"args\[0\].value: -1 is not an unsigned 64-bit number"),
        (argument(valueTwo=1 << 64), r"args\[0\].value: 18446744073709551616 is not an unsigned"),
        ({**ALLOW, "architectures": ["SCMP_ARCH_VAX"]}, "'SCMP_ARCH_VAX' is no architecture"),
    ],
)
def test_what_is_wrong_is_named(profile, sentence):
    with pytest.raises(seccomp.SeccompError, match=sentence):
        seccomp.compile(profile, "x86_64")


def test_a_machine_without_a_table_is_named():
    with pytest.raises(seccomp.SeccompError, match="no table of system calls for s390x"):
        seccomp.compile(ALLOW, "s390x")


@pytest.mark.parametrize(
    ("profile", "value"),
    [
        ({}, constants.FILTER_FLAG_SPEC_ALLOW),
        ({"flags": []}, 0),
        ({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}, 3),
        (
            {
                "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                "listenerPath": "/run/listener",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            },
            constants.FILTER_FLAG_NEW_LISTENER | constants.FILTER_FLAG_WAIT_KILLABLE_RECV,
        ),
    ],
)
def test_flags(profile, value):
    assert seccomp.flags(profile) == value


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ({"flags": ["FAST"]}, "'FAST' is no flag"),
        ({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}, "only for profiles that notify"),
        ({"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}, "needs seccomp.listenerPath"),
    ],
)
def test_flags_that_make_no_sense(profile, sentence):
    with pytest.raises(seccomp.SeccompError, match=sentence):
        seccomp.flags(profile)
