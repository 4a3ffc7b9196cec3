"""Filters in the kernel: it answers what the emulator says."""

import pytest
from ocicommon.linux.seccomp import loader
from ocicommon.linux.seccomp.constants import RET_ALLOW

pytestmark = pytest.mark.skipif(not loader.available(RET_ALLOW), reason="needs a kernel with seccomp filters")

SETUP = """
from ocicommon.linux import seccomp
from ocicommon.linux.seccomp import default, numbers
def profile(*entries, **more):
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(entries), **more}
def put(wanted):
    process.set_no_new_privileges()
    return seccomp.load(seccomp.compile(wanted), seccomp.flags(wanted))
"""


def test_errno_kill_and_conditions(run_python):
    got = run_python(
        SETUP
        + """
def denied():
    put(profile({"names": ["sethostname", "umount2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}))
    return failing(mounts.umount2, "/nowhere")
def killed():
    put(profile({"names": ["umount2"], "action": "SCMP_ACT_KILL_PROCESS"}))
    mounts.umount2("/nowhere")
def conditional():
    put(profile({"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
                 "args": [{"index": 0, "value": 0xffffffff, "op": "SCMP_CMP_NE"}]}))
    process.personality()
    return failing(process.personality, 8)
done([in_child(denied), in_child(killed), in_child(conditional)])
"""
    )
    assert got[0] == [95, "umount2 /nowhere: operation not supported (EOPNOTSUPP)"]
    assert got[1] == ["died", -31]
    assert got[2][0] == 95


def test_dockers_profile_lets_programs_run_and_answers_new_calls_with_enosys(run_python):
    got = run_python(
        SETUP
        + """
def confined():
    put(default.docker([]))
    import subprocess
    return [subprocess.run(["/bin/true"]).returncode, failing(calls.syscall, "new", 3000)[0],
            failing(namespaces.unshare, namespaces.CLONE_NEWUSER)[0]]
done(in_child(confined))
"""
    )
    assert got == [0, 38, 1]


def test_the_largest_filter_is_taken(run_python):
    got = run_python(
        SETUP
        + """
names = [n for n in sorted(numbers.table(calls.MACHINE)) if n not in ("write", "exit_group", "seccomp", "prctl")]
entries = [{"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": index % 90 + 2,
            "args": [{"index": 5, "value": 0x1234567890 + index, "op": "SCMP_CMP_EQ"}]}
           for index, name in enumerate(names)]
size = len(seccomp.compile(profile(*entries))) // 8
def confined():
    put(profile(*entries))
    wanted = names.index("umount2")
    return [failing(calls.call, "umount2", b"/", 0, 0, 0, 0, 0x1234567890 + wanted)[0], wanted % 90 + 2]
done([size, *in_child(confined)])
"""
    )
    assert got[0] > 1000
    assert got[1] == got[2]


def test_a_listener_comes_back_and_is_told(run_python):
    got = run_python(
        SETUP
        + """
import select, struct, fcntl
from ocicommon.linux import sockets
import socket
ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    wanted = profile({"names": ["umount2"], "action": "SCMP_ACT_NOTIFY"}, listenerPath="/unused")
    listener = put(wanted)
    sockets.send_fds(theirs, b"x", [listener])
    os.close(listener)
    answer = failing(mounts.umount2, "/nowhere")
    os._exit(answer[0])
payload, [listener] = sockets.receive_fds(ours)
poll = select.poll()
poll.register(listener, select.POLLIN)
poll.poll()
held = calls.buffer(80)
calls.call("ioctl", listener, 0xC0502100, held)
identity, caller, _flags, number = struct.unpack_from("QIIi", held.raw)
response = struct.pack("QqiI", identity, 0, -61, 0)
calls.call("ioctl", listener, 0xC0182101, calls.buffer(response))
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
done([caller == pid, number == numbers.table(calls.MACHINE)["umount2"], code])
"""
    )
    assert got == [True, True, 61]


@pytest.mark.root
def test_loading_without_the_right_says_so(run_python):
    got = run_python(
        SETUP
        + """
def unprivileged():
    os.setresuid(65534, 65534, 65534)
    return failing(seccomp.load, seccomp.compile(profile()))
done(in_child(unprivileged))
"""
    )
    assert got == [13, "seccomp filter: permission denied (EACCES)"]
