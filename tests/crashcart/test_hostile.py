"""A container that wants to harm whoever enters it: nothing of it runs outside, and nothing hangs for ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Enter = Callable[..., subprocess.CompletedProcess[str]]
Containers = Callable[..., support.Container]


def test_pythons_own_modules_in_the_container_are_never_run(containers: Containers, enter: Enter) -> None:
    """Every module that the interpreter could still want is there, at its own path, and tells when it runs."""
    trap = "open('/tmp/sprung', 'a').write(__name__)\nraise SystemExit('trapped')\n"

    def prepare(rootfs: Path) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        purelib = Path(sysconfig.get_path("purelib"))
        for top in (library, purelib, Path("/usr/lib/python3/dist-packages")):
            inside = rootfs / top.relative_to("/")
            for name in ("encodings", "json", "ctypes", "crashcart", "ocicommon", "ocicommon/linux", "lib-dynload"):
                (inside / name).mkdir(parents=True, exist_ok=True)
                (inside / name / "__init__.py").write_text(trap)
            names = {path.stem for path in library.glob("*.py")} | {
                path.stem for path in (library / "encodings").glob("*.py")
            }
            for name in names:
                (inside / f"{name}.py").write_text(trap)
                (inside / "encodings" / f"{name}.py").write_text(trap)
        (rootfs / "sitecustomize.py").write_text(trap)

    container = containers(prepare=prepare)
    assert enter(container, "echo", "in").stdout == "in\n"
    assert enter(container, "no-such").returncode == 127
    assert enter(container, "/no/such\udcff").returncode == 127
    assert enter(container, "sh", "-c", "kill -9 $$").returncode == 137
    assert enter(container, options=("-m",)).returncode == 0
    assert enter(container, options=("-u",)).returncode == 0
    assert not (container.rootfs / "tmp/sprung").exists()


@pytest.mark.parametrize("kind", ["file", "link", "directory", "mount"])
def test_entry_of_our_name_in_the_containers_dev_does_not_matter(
    kind: str, containers: Containers, enter: Enter, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def change(config: dict[str, Any]) -> None:
        if kind == "mount":
            config["mounts"].append({"destination": "/dev/crashcart", "type": "tmpfs", "source": "tmpfs"})

    def settle(container: support.Container) -> None:
        entry = Path(f"/proc/{container.pid}/root/dev/crashcart")
        if kind == "file":
            entry.write_text("mine")
        elif kind == "link":
            entry.symlink_to(outside)
        elif kind == "directory":
            (entry / "bin").mkdir(parents=True)

    done = enter(containers(change, settle=settle), "cat", "/dev/crashcart/etc/marker")
    assert (done.returncode, done.stdout, done.stderr) == (0, "tools\n", "")
    assert os.listdir(outside) == []


def test_dev_that_is_a_link_is_refused(containers: Containers, enter: Enter, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [one for one in config["mounts"] if not one["destination"].startswith("/dev")]

    def settle(container: support.Container) -> None:
        shutil.rmtree(container.rootfs / "dev")
        (container.rootfs / "dev").symlink_to(outside)

    container = containers(change, settle=settle)
    for options in ((), ("-m",)):
        done = enter(container, *(() if options else ("true",)), options=options)
        assert done.returncode == 1
        assert "/dev is no directory" in done.stderr
    assert os.listdir(outside) == []


def test_false_proc_is_not_believed(tmp_path: Path, tools: Path, traces: support.Traces, enter: Enter) -> None:
    """/proc is a directory of lies: the session works, and the children it leaves end all the same."""
    root = support.busybox_tree(tmp_path / "root")
    (root / "dev").mkdir()
    for name in ("self", "1"):
        (root / "proc" / name / "fd").mkdir(parents=True)
        (root / "proc" / name / "status").write_text("Uid:\t0\n")
        (root / "proc" / name / "attr").mkdir()
    inner = ["chroot", str(root), "/bin/sh", "-c", "echo up; exec sleep 100000"]
    with subprocess.Popen(["unshare", "-m", "-p", "-f", *inner], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            traces.watch(pid)
            done = enter(pid, "sh", "-c", "(sleep 100000 &); cat /proc/1/status")
            assert (done.returncode, done.stdout) == (0, "Uid:\t0\n"), done.stderr
            traces.check()
        finally:
            os.kill(pid, 9)
            process.wait()


@pytest.mark.parametrize("name", ["hang", "crashcart"])
def test_filesystem_that_never_answers_is_not_asked(name: str, containers: Containers, enter: Enter) -> None:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    container = containers()
    devices = Path(f"/proc/{container.pid}/root/dev")
    (devices / name).mkdir()
    script = (
        "import os, sys\n"
        "from ocicommon.linux import mounts, namespaces\n"
        "server = os.open('/dev/fuse', os.O_RDWR)\n"
        f"namespaces.setns(os.open('/proc/{container.pid}/ns/mnt', os.O_RDONLY), namespaces.CLONE_NEWNS)\n"
        "options = f'fd={server},rootmode=40000,user_id=0,group_id=0'\n"
        f"mounts.mount('hang', '/dev/{name}', 'fuse', 0, options)\n"
        "os.write(1, b'mounted\\n')\n"
        "os.read(0, 1)\n"
        f"mounts.umount2('/dev/{name}', mounts.MNT_DETACH | mounts.MNT_FORCE)\n"
    )
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        if server.stdout.readline() != b"mounted\n":
            pytest.skip(f"cannot mount fuse here: {server.stderr.read().decode()[-300:]}")
        done = enter(container, "cat", "/dev/crashcart/etc/marker")
        assert (done.returncode, done.stdout) == (0, "tools\n"), done.stderr
        if name == "crashcart":
            done = enter(container, options=("-m",))
            assert done.returncode == 1
            assert "is mounted already" in done.stderr
        server.stdin.close()
        server.wait()
    (devices / name).rmdir()


TRACER = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    printf("up\n"); fflush(stdout);
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = atoi(entry->d_name);
            char path[64], target[256];
            if (pid <= 1 || pid == getpid()) continue;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            if (readlink(path, target, sizeof target) > 0) {
                FILE *looked = fopen("/tmp/looked", "a");
                if (looked) { fprintf(looked, "%d\n", pid); fclose(looked); }
            }
            if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) {
                FILE *traced = fopen("/tmp/traced", "a");
                if (traced) { fprintf(traced, "%d\n", pid); fclose(traced); }
                waitpid(pid, NULL, 0);
                ptrace(PTRACE_DETACH, pid, 0, 0);
            }
        }
        closedir(proc);
    }
}
"""


def test_container_cannot_trace_or_look_into_who_enters(containers: Containers, enter: Enter, tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "tracer.c").write_text(TRACER)
    made = [compiler, "-static", "-O1", "-o", str(tmp_path / "tracer"), str(tmp_path / "tracer.c")]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("needs a static C library")

    def prepare(rootfs: Path) -> None:
        shutil.copy(tmp_path / "tracer", rootfs / "bin/tracer")

    container = containers(prepare=prepare, arguments=("/bin/tracer",))
    for _ in range(10):
        done = enter(container, "sh", "-c", "echo $((6 * 7))")
        assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert not (container.rootfs / "tmp/traced").exists()
    assert not (container.rootfs / "tmp/looked").exists()


def test_nothing_of_the_host_shows_in_the_session_processes(containers: Containers, enter: Enter) -> None:
    """Even with the right to look: the supervisor has no file of the host open, and tells nothing of its start."""
    script = "for p in /proc/[0-9]*; do cat $p/cmdline $p/environ; readlink $p/fd/* $p/cwd $p/root; done 2>/dev/null"
    done = enter(containers(), "sh", "-c", script, options=("--profile", "privileged"))
    text = done.stdout.replace("\0", "\n")
    assert str(Path(sys.executable).parent) not in text
    assert "PYTEST" not in text
    links = [line for line in text.splitlines() if line.startswith("/") and "/crashcart" not in line]
    assert set(links) <= {"/", "/bin/sleep", "/dev/null", "/memfd:crashcart (deleted)", "/tmp/pytest"}, links


def test_process_that_writes_to_the_terminal_for_ever_does_not_hold_the_end(
    crashcart: Path, image: Path, containers: Containers
) -> None:
    """It opens the session's terminal as soon as there is one, and fills it; the session ends when its command does."""
    filler = "while :; do if [ -c /dev/pts/0 ]; then /bin/yes > /dev/pts/0; fi; done 2>/dev/null"
    container = containers(arguments=("/bin/sh", "-c", filler))
    words = f"{crashcart} -i {image} --root {container.state} {container.id} sh -c 'exit 8'"
    done = subprocess.run(
        ["script", "-qec", words, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 8


def test_environment_of_the_container_is_data_only(containers: Containers, enter: Enter) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["env"] += [
            "ENV=/evil.sh",
            "BASH_ENV=/evil.sh",
            "PS4=$(touch /tmp/sprung)",
            "IFS=x",
            "HOME=/evil",
        ]

    def prepare(rootfs: Path) -> None:
        (rootfs / "evil.sh").write_text("echo > /tmp/sprung\n")

    container = containers(change, prepare=prepare)
    done = enter(container, "sh", "-xc", "echo in")
    assert done.stdout == "in\n"
    assert not (container.rootfs / "tmp/sprung").exists()


HOLDER = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void) {
    for (;;) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            char path[64], name[64] = "";
            snprintf(path, sizeof path, "/proc/%d/cmdline", atoi(entry->d_name));
            FILE *file = fopen(path, "r");
            if (file) { fread(name, 1, sizeof name - 1, file); fclose(file); }
            if (!strcmp(name, "sleep") && ptrace(PTRACE_SEIZE, atoi(entry->d_name), 0, 0) == 0)
                fclose(fopen("/tmp/held", "w"));
        }
        closedir(proc);
        usleep(1000);
    }
}
"""


def test_tracer_that_never_lets_go_does_not_hold_the_end(
    containers: Containers, enter: Enter, tmp_path: Path, traces: support.Traces
) -> None:
    """It holds a child of the session, which then can be killed and not be taken in."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    (tmp_path / "holder.c").write_text(HOLDER)
    made = [compiler or "cc", "-static", "-O1", "-w", "-o", str(tmp_path / "holder"), str(tmp_path / "holder.c")]
    if compiler is None or subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("needs a C compiler and a static C library")

    def may_trace(config: dict[str, Any]) -> None:
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] += ["CAP_SYS_PTRACE"]

    def prepare(rootfs: Path) -> None:
        shutil.copy(tmp_path / "holder", rootfs / "bin/holder")

    container = containers(may_trace, prepare=prepare, arguments=("/bin/holder",))
    done = enter(container, "sh", "-c", "(sleep 100000 &); until [ -e /tmp/held ]; do :; done; exit 7")
    assert done.returncode == 7
    assert done.stderr == ""
