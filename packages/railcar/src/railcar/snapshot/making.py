"""Makes the snapshot: starts the interpreter to be pictured, writes its memory and what maps it, tries both.

Nothing is published that did not pass its probe. The directory is root's alone: the memory holds what guards a process
against being led astray (the C library's canaries, the seed of hashes, where everything lies).
"""

import fcntl
import os
import select
import subprocess
import sys
import time

from ocicommon.linux import ptrace
from ocicommon.linux.errors import SyscallError

from railcar import snapshot
from railcar.snapshot import layout, record, restorer
from railcar.snapshot.record import Identity

_PATIENCE = 30.0
_IMAGE = "image."
#: How /proc/PID/syscall begins while a process reads from its standard input.
_IN_READ = "0 0x0 "
_SLOW, _TRIES = 99, 3


class Refused(Exception):
    """No snapshot can be had; the text says why."""


def make() -> str:
    """Make and publish a snapshot; "" when it is there, or being made by another process, else why it is not.

    It is recorded as refused before it is begun: a start whose machine or disk cannot have it is the only one to try.
    """
    try:
        directory = record.directory()
    except OSError as error:
        return f"{snapshot.DIRECTORY}: {error.strerror}"
    files: list[Identity] = []
    name = f"{_IMAGE}{os.getpid()}.{time.time_ns()}"
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        files = [Identity.of(os.path.realpath(sys.executable)), *record.marks()]
        record.write("its making was not finished", files, directory)
        files += _write(directory, name, files)
        record.write(record.MADE, files, directory)
        _sweep(directory, name)
        return ""
    except (Refused, layout.LayoutError, OSError, subprocess.SubprocessError) as error:
        _sweep(directory, "")
        said = " ".join(str(error).split())
        try:
            record.write(said, files, directory)
        except OSError:
            return said
        return said
    finally:
        os.close(directory)


def remove() -> None:
    """Take the snapshot and its directory away; starts may make another. Raises OSError."""
    try:
        directory = record.directory(make=False)
    except FileNotFoundError:
        return
    try:
        for name in os.listdir(directory):
            os.unlink(name, dir_fd=directory)
        os.rmdir(snapshot.DIRECTORY)
    finally:
        os.close(directory)


def decline() -> None:
    """Take the snapshot away, and leave a mark that none is wanted. Raises OSError."""
    directory = record.directory()
    try:
        _sweep(directory, "")
        record.turn_off(directory)
    finally:
        os.close(directory)


def accept() -> None:
    """Forget that snapshots were declined or refused. Raises OSError."""
    directory = record.directory()
    try:
        record.turn_on(directory)
    finally:
        os.close(directory)


def _sweep(directory: int, kept: str) -> None:
    """Remove all images but one, and the program too if none is kept. A command that starts now goes the slow way."""
    for name in os.listdir(directory):
        if (name.startswith(_IMAGE) and name != kept) or (
            name.startswith(snapshot.PROGRAM) and (not kept or name != snapshot.PROGRAM)
        ):
            os.unlink(name, dir_fd=directory)


def _write(directory: int, name: str, own: list[Identity]) -> list[Identity]:
    """Write image and program and publish them when they work; returns the files that the memory was mapped from."""
    command = [sys.orig_argv[0], *snapshot.OPTIONS, f"{snapshot.HOME}/railcar/__main__.py"]
    made, files = _picture(command)
    _put(directory, name, bytes(made.image), 0o600)
    image = Identity.of(f"{snapshot.DIRECTORY}/{name}")
    compared = [image, *files, *own[1:]]
    boot = record.boot().encode()
    trial = f"{snapshot.PROGRAM}.{os.getpid()}"
    tables = restorer.data(made, own[0], Identity.of(command[-1]), compared, boot)
    _put(directory, trial, restorer.image(tables), 0o700)
    _probe(f"{snapshot.DIRECTORY}/{trial}", command)
    os.replace(trial, snapshot.PROGRAM, src_dir_fd=directory, dst_dir_fd=directory)
    return files


def _put(directory: int, name: str, content: bytes, mode: int) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=directory)
    with open(fd, "wb", buffering=0) as file:
        written = 0
        while written < len(content):
            written += file.write(content[written:]) or 0


def _picture(command: list[str]) -> tuple[layout.Layout, list[Identity]]:
    """The layout of an interpreter that waits for a command, and the files that its memory was mapped from."""
    child = subprocess.Popen(
        [*command, "setup", "--template"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"}, cwd="/",
    )  # fmt: skip
    try:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], _PATIENCE)
        words = child.stdout.readline().split() if ready else []
        if len(words) != 2:
            raise Refused("the interpreter to be pictured did not get ready")
        _await_read(child.pid)
        return _look(child.pid, int(words[0]), int(words[1]))
    finally:
        child.kill()
        child.communicate()


def _await_read(pid: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            if file.read().startswith(_IN_READ):
                return
        time.sleep(0.001)
    raise Refused("the interpreter to be pictured does not wait")


def _look(pid: int, heap_end: int, rseq: int) -> tuple[layout.Layout, list[Identity]]:
    try:
        ptrace.stop(pid)
        registers, robust_list = ptrace.registers(pid), ptrace.robust_list(pid)
    except SyscallError as error:
        raise Refused(f"the kernel does not let its maker look at a process: {error}") from None
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        found = layout.regions(file.read())
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:

        def read(address: int, length: int) -> bytes:
            """The process's memory."""
            return os.pread(memory, length, address)

        made = layout.Layout(registers, layout.thread(registers, pid, robust_list, read))
        paths = {region.path for region in found if region.path.startswith("/")}
        before = {path: Identity.of(path) for path in paths}
        layout.plan(made, found, read, _of_file, heap_end, rseq)
    finally:
        os.close(memory)
    files = [Identity.of(path) for path in made.files]
    if any(before[file.path] != file for file in files):
        raise Refused("a file changed in the meantime")
    # Of the others, what the memory has is all in the image; but it is theirs.
    return made, files + [file for path, file in sorted(before.items()) if path not in made.files]


def _of_file(path: str, offset: int, length: int) -> bytes:
    """What a mapping of the file holds: behind its end, zeroes to the page's."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length).ljust(length, b"\0")


def _probe(program: str, command: list[str]) -> None:
    """Have the new program do what the interpreter does, and compare. Raises Refused."""
    # What the slow way would execute in its place: a code that tells it. As many words as are in the command.
    slow = [command[0], "-c", f"raise SystemExit({_SLOW})", *command[3:]]
    for rest in (["--version"], ["--root", f"{snapshot.DIRECTORY}/none", "state", "probe"]):
        wanted = _run([*command, *rest], {"RAILCAR_SNAPSHOT": "0"})
        # Once, the kernel's random places may collide with the picture's.
        tries = (_run([program, *slow, *rest], {}) for _ in range(_TRIES))
        found = next((done for done in tries if done[0] != _SLOW), (_SLOW, b"", b""))
        if found != wanted:
            raise Refused(f"the first start from it ended with {found[0]} and not {wanted[0]}")


def _run(argv: list[str], environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment, timeout=_PATIENCE
    )
    return done.returncode, done.stdout, done.stderr
