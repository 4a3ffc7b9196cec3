"""A container that may trace what enters its pid namespace: no file of the host, no right but the session's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]

# Looks into every newcomer, for ever: /tmp/found has "exe TARGET", "fd TARGET" and "caps HEX" of each, and /tmp/seen
# is there once a process named crashcart was seized and looked through.
TRACER = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
static void tell(const char *path, const char *what, const char *value) {
    FILE *file = fopen(path, "a");
    if (file) { fprintf(file, "%s %s\n", what, value); fclose(file); }
}
static void look(int pid, const char *name, const char *what) {
    char path[64], target[512];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size > 0) { target[size] = 0; tell("/tmp/found", what, target); }
}
static int line(int pid, const char *key, char *value) {
    char path[64], text[512];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(text, sizeof text, file))
        if (!strncmp(text, key, strlen(key))) found = sscanf(text + strlen(key), "%63s", value) == 1;
    if (file) fclose(file);
    return found;
}
int main(void) {
    printf("up\n"); fflush(stdout);
    for (;;) {
        // One that was killed while it was held is ours to take in: till then its parent waits for it.
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0);
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = atoi(entry->d_name), status, stopped = 0;
            char path[64], name[64] = "", caps[64];
            if (pid <= 1 || pid == getpid()) continue;
            look(pid, "exe", "exe");
            int seized = ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
            if (seized) {
                ptrace(PTRACE_INTERRUPT, pid, 0, 0);
                stopped = waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
            }
            look(pid, "exe", "exe");
            look(pid, "cwd", "fd");
            look(pid, "root", "fd");
            if (line(pid, "CapPrm:", caps)) tell("/tmp/found", "caps", caps);
            snprintf(path, sizeof path, "/proc/%d/fd", pid);
            DIR *fds = opendir(path);
            for (struct dirent *one; fds && (one = readdir(fds));) {
                snprintf(path, sizeof path, "fd/%.16s", one->d_name);
                if (one->d_name[0] != '.') look(pid, path, "fd");
            }
            if (fds) closedir(fds);
            line(pid, "Name:", name);
            if (stopped) {
                ptrace(PTRACE_DETACH, pid, 0, status >> 16 ? 0 : WSTOPSIG(status));
                if (!strcmp(name, "crashcart")) tell("/tmp/seen", "pid", entry->d_name);
            }
        }
        closedir(proc);
    }
}
"""
# What the container has by the configuration of the tests' containers, what may trace, and what a session has besides:
# the profile's, and SETPCAP. Of these SYS_ADMIN, SYS_RAWIO, MKNOD, SYS_MODULE are none.
_CONTAINER = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_PTRACE"]
_ALLOWED = sum(1 << bit for bit in (0, 1, 3, 5, 6, 7, 8, 12, 13, 18, 19))


def may_trace(config: dict[str, Any]) -> None:
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] = list(_CONTAINER)


@pytest.fixture
def tracer(tmp_path: Path) -> Callable[[Path], None]:
    """Puts the tracer into a root file system."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "tracer.c").write_text(TRACER)
    made = [compiler, "-static", "-O1", "-w", "-o", str(tmp_path / "tracer"), str(tmp_path / "tracer.c")]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("needs a static C library")

    def prepare(rootfs: Path) -> None:
        shutil.copy(tmp_path / "tracer", rootfs / "bin/tracer")

    return prepare


@pytest.mark.parametrize("without", ["", "mount-fd"])
def test_tracer_finds_nothing_of_the_host(
    without: str, containers: Containers, enter: Enter, tracer: Callable[[Path], None]
) -> None:
    container = containers(may_trace, prepare=tracer, arguments=("/bin/tracer",))
    wait = (
        "(sleep 100000 &); i=0; while [ ! -s /tmp/seen ] && [ $i -lt 600 ]; do i=$((i+1)); sleep 0.1; done; echo done"
    )
    done = enter(container, "sh", "-c", wait, without=without)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert (container.rootfs / "tmp/seen").exists(), "the tracer never got hold of the supervisor"
    found = {tuple(line.split(" ", 1)) for line in (container.rootfs / "tmp/found").read_text().splitlines()}
    programs = {value for what, value in found if what == "exe"}
    assert "/memfd:crashcart (deleted)" in programs
    ours = {value for value in programs if not value.endswith("/bin/busybox")} - {"/memfd:crashcart (deleted)"}
    assert not ours, ours
    files = {
        re.sub(r"^/\d+/task/\d+/children$", "/children", value)
        for what, value in found
        if what == "fd" and not value.startswith(("pipe:", "socket:", "anon_inode:"))
    }
    # /children: of the supervisor, in a procfs of the container's own processes.
    assert files <= {"/", "/children", "/dev/null", "/memfd:crashcart (deleted)", "/tmp/seen", "/bin/busybox"}, files
    for what, value in found:
        if what == "caps":
            assert int(value, 16) & ~_ALLOWED == 0, value


def test_nobody_is_inside_while_the_session_is_set_up(
    crashcart: Path, image: Path, containers: Containers, tmp_path: Path
) -> None:
    """Held at a step of the set-up, it has no process in the container's pid namespace yet."""
    probe = shutil.which("strace") and subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    if not probe or probe.returncode:
        pytest.skip("needs strace, and the right to trace")
    container = containers(may_trace)
    before = support.members(container.pid)
    log = tmp_path / "log"
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=chroot", "-e", "inject=chroot:signal=SIGSTOP:when=1"]
    words = [*strace, str(crashcart), "-i", str(image), "--root", str(container.state), container.id, "echo", "in"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        support.until(lambda: log.exists() and "stopped by SIGSTOP" in log.read_text(), "the set-up never got there")
        held = int(next(line for line in log.read_text().splitlines() if "stopped by" in line).split()[0])
        during = support.members(container.pid)
        os.kill(held, signal.SIGCONT)
        assert process.communicate(timeout=120)[0] == "in\n"
    assert during == before


@pytest.mark.parametrize("without", ["", "mount-fd"])
def test_session_is_as_any_other(without: str, containers: Containers, enter: Enter, traces: support.Traces) -> None:
    container = containers(may_trace)
    done = enter(
        container,
        "sh",
        "-c",
        "(sleep 100000 &); cat; grep CapEff /proc/self/status; exit 7",
        input="word\n",
        without=without,
    )
    assert (done.returncode, done.stderr) == (7, "")
    word, caps = done.stdout.splitlines()
    assert word == "word"
    assert int(caps.split()[1], 16) == _ALLOWED & ~(1 << 8)
    traces.check()
    assert enter(container, "sh", "-c", "kill -9 $$", without=without).returncode == 137
    assert enter(container, "no-such", without=without).returncode == 127
    assert enter(container, "id", "-u", options=("-U", "1234:99"), without=without).stdout == "1234\n"
    assert enter(container, "echo", "all", options=("--profile", "privileged"), without=without).stdout == "all\n"
    assert (
        enter(container, "echo", "same", options=("--profile", "strict", "--cgroup"), without=without).stdout
        == "same\n"
    )


@pytest.mark.parametrize(("call", "count"), [("setns", 1), ("chroot", 1), ("capset", 1), ("clone3", 1), ("setsid", 1)])
def test_kill_at_a_step_leaves_nothing(
    call: str, count: int, containers: Containers, enter: Enter, traces: support.Traces
) -> None:
    probe = shutil.which("strace") and subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    if not probe or probe.returncode:
        pytest.skip("needs strace, and the right to trace")
    container = containers(may_trace)
    inject = f"{call}:signal=SIGKILL:when={count}"
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={inject}")
    enter(container, "sh", "-c", "(sleep 100000 &); echo done", wrapper=strace)
    traces.check()
    assert enter(container, "echo", "again").stdout == "again\n"


def test_session_over_before_crashcart_hears_of_it_leaves_nothing(
    containers: Containers, enter: Enter, traces: support.Traces
) -> None:
    """crashcart is slow to listen, and ends itself what a session leaves: it knows by then what the session was."""
    probe = shutil.which("strace") and subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    if not probe or probe.returncode:
        pytest.skip("needs strace, and the right to trace")
    container = containers(may_trace)
    slow = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=recvmsg", "-e", "inject=recvmsg:delay_enter=300000")
    done = enter(container, "sh", "-c", "(sleep 100000 &); exit 7", wrapper=slow, without="mount-fd")
    assert done.returncode == 7
    traces.check()
