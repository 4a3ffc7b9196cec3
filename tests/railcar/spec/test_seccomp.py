"""linux.seccomp in whole containers: the call that is filtered is sethostname(2), made by `hostname NAME`."""

import array
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ocicommon.linux.seccomp import numbers

pytestmark = pytest.mark.root

TRY = "hostname abc 2>&1; echo code $?"
SIGSYS = 128 + 31


def profile(box: Any, action: str, default: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    rule = {"names": ["sethostname"], "action": action, **more}
    seccomp: dict[str, Any] = {"defaultAction": default, "syscalls": [rule]}
    box.config["linux"]["seccomp"] = seccomp
    return seccomp


@pytest.mark.parametrize("private", [True, False], ids=["no-new-privs", "with-privs"])
@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("SCMP_ACT_ALLOW", "code 0"),
        ("SCMP_ACT_LOG", "code 0"),
        ("SCMP_ACT_ERRNO", "Operation not permitted"),
        ("SCMP_ACT_TRACE", "Function not implemented"),
        ("SCMP_ACT_TRAP", f"code {SIGSYS}"),
        ("SCMP_ACT_KILL", f"code {SIGSYS}"),
        ("SCMP_ACT_KILL_THREAD", f"code {SIGSYS}"),
        ("SCMP_ACT_KILL_PROCESS", f"code {SIGSYS}"),
    ],
)
def test_line_128_actions(box: Any, action: str, said: str, private: bool) -> None:
    box.config["process"]["noNewPrivileges"] = private
    profile(box, action)
    assert said in box.run(TRY).stdout


def test_line_129_default_errno(box: Any) -> None:
    allowed = sorted({name for abi in numbers.ABIS for name in numbers.table(abi)} - {"sethostname"})
    box.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 28,
        "syscalls": [{"names": allowed, "action": "SCMP_ACT_ALLOW"}],
    }
    assert "No space left on device" in box.run(TRY).stdout


def test_line_130_architectures(box: Any) -> None:
    machine = os.uname().machine
    own = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}.get(machine)
    if own is None:
        pytest.skip(f"no system call table for {machine}")
    profile(box, "SCMP_ACT_ERRNO")["architectures"] = [own]
    assert "Operation not permitted" in box.run(TRY).stdout


@pytest.mark.parametrize(
    "flag", ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
)
def test_line_131_flags(box: Any, flag: str) -> None:
    profile(box, "SCMP_ACT_ERRNO")["flags"] = [flag]
    assert "Operation not permitted" in box.run(TRY).stdout


def test_line_131_a_flag_of_no_name_is_refused(box: Any) -> None:
    profile(box, "SCMP_ACT_ERRNO")["flags"] = ["SECCOMP_FILTER_FLAG_NOTHING"]
    assert "SECCOMP_FILTER_FLAG_NOTHING" in box.run("true", fails=True).stderr


def test_line_132_errno_of_a_rule_and_names_that_do_not_exist(box: Any) -> None:
    seccomp = profile(box, "SCMP_ACT_ERRNO", errnoRet=28)
    seccomp["syscalls"][0]["names"] = ["no_such_call", "sethostname"]
    assert "No space left on device" in box.run(TRY).stdout


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize(
    ("op", "value", "second", "matching"),
    [
        ("SCMP_CMP_NE", 4, 0, {3}),
        ("SCMP_CMP_LT", 4, 0, {3}),
        ("SCMP_CMP_LE", 3, 0, {3}),
        ("SCMP_CMP_EQ", 3, 0, {3}),
        ("SCMP_CMP_GE", 4, 0, {4}),
        ("SCMP_CMP_GT", 3, 0, {4}),
        ("SCMP_CMP_MASKED_EQ", 1, 1, {3}),
    ],
)
def test_line_133_arguments(box: Any, op: str, value: int, second: int, matching: set[int], length: int) -> None:
    condition = {"index": 1, "value": value, "valueTwo": second, "op": op}
    profile(box, "SCMP_ACT_ERRNO", args=[condition])
    refused = "Operation not permitted" in box.run(f"hostname {'abcd'[:length]} 2>&1; true").stdout
    assert refused == (length in matching)


@pytest.fixture
def agent(box: Any) -> Iterator[socket.socket]:
    """Listens at listenerPath of the box's profile."""
    path = str(box.directory / "agent.sock")
    box.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(60)
        yield listener


def accepted(agent: socket.socket) -> tuple[dict[str, Any], int]:
    """The state that comes, and the listener."""
    connection, _ = agent.accept()
    with connection:
        payload, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    return json.loads(payload), fds[0]


def answer(fd: int, error: int) -> int:
    """Let the call that waits fail with this; the pid that it came from."""
    request = bytearray(80)
    fcntl.ioctl(fd, 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
    number, pid = struct.unpack_from("QI", request)
    fcntl.ioctl(fd, 0xC0182101, bytearray(struct.pack("QqiI", number, 0, -error, 0)))  # ..._SEND
    return int(pid)


def run(box: Any, *words: str) -> "subprocess.Popen[str]":
    command = [str(box.command), "--root", str(box.directory / "state"), *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("names", [["sethostname"], ["sethostname", "sendmsg"]])
@pytest.mark.parametrize("private", [True, False], ids=["no-new-privs", "with-privs"])
def test_line_134_a_listener_gets_the_notifications_and_the_state(
    box: Any, agent: socket.socket, names: list[str], private: bool
) -> None:
    """Also where the process could not send it itself, as sendmsg waits for who has the listener."""
    box.config["process"]["noNewPrivileges"] = private
    seccomp = box.config["linux"]["seccomp"]
    seccomp.update(listenerMetadata="for the agent", syscalls=[{"names": names, "action": "SCMP_ACT_NOTIFY"}])
    box._write(TRY)
    with run(box, "run", "--bundle", str(box.directory), "n") as running:
        state, fd = accepted(agent)
        pid = answer(fd, 28)
        said, _ = running.communicate(timeout=60)
        os.close(fd)
    assert "No space left on device" in said
    assert state["metadata"] == "for the agent"
    assert state["fds"] == ["seccompFd"]
    assert (state["state"]["id"], state["state"]["status"]) == ("n", "creating")
    assert state["pid"] == state["state"]["pid"] > 1
    assert pid > 0


@pytest.mark.parametrize("names", [["sethostname"], ["sethostname", "sendmsg"]])
def test_line_134_a_process_of_exec_has_a_listener_of_its_own(box: Any, agent: socket.socket, names: list[str]) -> None:
    box.config["linux"]["seccomp"]["syscalls"] = [{"names": names, "action": "SCMP_ACT_NOTIFY"}]
    box._write("sleep 100000")
    with run(box, "run", "--detach", "--bundle", str(box.directory), "n") as making:
        first, own = accepted(agent)
        os.close(own)
        making.stdout.close()  # type: ignore[union-attr]
    with run(box, "exec", "n", "sh", "-c", TRY) as running:
        state, fd = accepted(agent)
        answer(fd, 28)
        said, _ = running.communicate(timeout=60)
        os.close(fd)
    assert "No space left on device" in said
    assert (state["state"]["pid"], state["state"]["status"]) == (first["pid"], "running")
    assert state["pid"] not in (0, first["pid"])
    box.railcar("delete", "--force", "n")


def test_line_134_a_listener_that_cannot_be_sent_in_time_is_refused(box: Any, agent: socket.socket) -> None:
    box.config["linux"]["seccomp"]["syscalls"] = [{"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"}]
    box.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    assert "SCMP_ACT_NOTIFY cannot be used here for the sendmsg syscall" in box.run("true", fails=True).stderr


def test_line_134_a_listener_needs_a_path(box: Any) -> None:
    profile(box, "SCMP_ACT_NOTIFY")
    assert "listenerPath" in box.run("true", fails=True).stderr
