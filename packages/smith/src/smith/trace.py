"""`smith trace`: run a program with all of its source's files, and see which it opens, by seccomp user notification.

The kernel stops each open and exec until it is answered (seccomp_unotify(2)); the answer is always to go on. What a
program opened and smith.yaml does not bring is what the yaml lacks.
"""

import errno
import fcntl
import json
import os
import platform
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ocicommon import accounts, convert
from ocicommon.errors import ConversionError

from smith.errors import MissingToolError, SmithError
from smith.progress import Progress
from smith.tree import DIRECTORY, Node, Tree
from smith.unpack import remove, rootless_maps, write_tree

RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
NOTIFICATION = struct.Struct("<QIIiIQ6Q")
RESPONSE = struct.Struct("<QqiI")
NUMBERS = {
    "x86_64": {2: ("open", 0), 257: ("openat", 1), 437: ("openat2", 1), 59: ("execve", 0), 322: ("execveat", 1)},
    "aarch64": {56: ("openat", 1), 437: ("openat2", 1), 221: ("execve", 0), 281: ("execveat", 1)},
}
AT_FDCWD = 0xFFFFFF9C
LONGEST = 4096
WRITABLE = ("run", "write", "tmp")


@dataclass(slots=True)
class Traced:
    """What was opened and executed, as absolute paths of the container, in order; the program's exit code."""

    opened: dict[str, None] = field(default_factory=dict)
    code: int = 0

    def inside(self, tree: Tree) -> list[str]:
        """Those that are files of the tree, by the paths that were asked for, sorted."""
        found = []
        for path in self.opened:
            node = tree.walk(path).node
            if node is not None and node.is_file:
                found.append(path)
        return sorted(found)


def find_runtime(name: str = "") -> str:
    """railcar, or the runtime named: beside this interpreter, else on PATH. MissingToolError."""
    wanted = name or "railcar"
    beside = os.path.join(os.path.dirname(sys.executable), wanted)
    found = wanted if os.path.isabs(wanted) else beside if os.access(beside, os.X_OK) else shutil.which(wanted)
    if found is None or not os.access(found, os.X_OK):
        raise MissingToolError(
            f"{wanted} is not installed, and trace runs the program in it: install it, or use --runtime"
        )
    return found


def trace(tree: Tree, config: dict[str, Any], command: list[str], progress: Progress, runtime: str = "") -> Traced:
    """Run `command` with `tree` as its read-only root and the image config's user, environment and folder.

    SmithError when it cannot be started.
    """
    machine = platform.machine()
    if machine not in NUMBERS:
        raise SmithError(f"trace knows the system calls of {', '.join(NUMBERS)}, and this machine is {machine}")
    program = find_runtime(runtime)
    folder = tempfile.mkdtemp(prefix="smith-trace-")
    try:
        os.chmod(folder, 0o755)
        rootless = os.geteuid() != 0
        for name in ("proc", "dev", "sys", *WRITABLE):
            # runc gives a tmpfs the mode of the folder below it
            tree.add(tree.resolve(name) or name, Node(DIRECTORY, 0o1777 if name in WRITABLE else 0o755))
        write_tree(tree, os.path.join(folder, "rootfs"), own=not rootless, progress=progress)
        address = os.path.join(folder, "listener")
        document = _document(config, command, address, machine, rootless)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)
        return _run([program, "--root", os.path.join(folder, "state")], folder, address, machine)
    finally:
        remove(folder)


def _document(config: dict[str, Any], command: list[str], address: str, machine: str, rootless: bool) -> dict[str, Any]:
    inner = {**config.get("config", {}), "Entrypoint": command, "Cmd": []}
    maps = None
    try:
        account = accounts.resolve(inner.get("User") or "", "", "")
        if rootless:
            maps = rootless_maps(account.uid, account.gid)
            if maps is None:
                inner["User"] = "0:0"
                maps = convert.rootless_for(accounts.resolve("0:0", "", ""), os.geteuid(), os.getegid())
        document = convert.runtime_config(
            {**config, "config": inner},
            read_only=True,
            capabilities=(),
            mounts=[convert.tmpfs(f"/{path}") for path in WRITABLE],
            rootless=maps,
        )
    except ConversionError as error:
        raise SmithError(f"trace: {error}") from None
    names = [name for name, _ in NUMBERS[machine].values()]
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [{"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]],
        "listenerPath": address,
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
    }
    return document


def _run(runtime: list[str], bundle: str, address: str, machine: str) -> Traced:
    traced = Traced()
    identity = f"smith-trace-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(1)
        process = subprocess.Popen([*runtime, "run", "--bundle", bundle, identity])
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(server, traced, machine, over), daemon=True)
        watcher.start()
        try:
            traced.code = process.wait()
        finally:
            over.set()
            if process.poll() is None:
                process.terminate()
                process.wait()
            subprocess.run([*runtime, "delete", "--force", identity], capture_output=True, check=False)
            watcher.join(10)
    return traced


def _watch(server: socket.socket, traced: Traced, machine: str, over: threading.Event) -> None:
    poller = select.poll()
    poller.register(server, select.POLLIN)
    while not poller.poll(100):
        if over.is_set():
            return
    connection, _ = server.accept()
    with connection:
        _, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
    for descriptor in descriptors:
        try:
            _answer(descriptor, traced, machine, over)
        finally:
            os.close(descriptor)


def _answer(listener: int, traced: Traced, machine: str, over: threading.Event) -> None:
    """Let every call go on, and note its path; until no process is left that could make one."""
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    numbers = NUMBERS[machine]
    while True:
        events = poller.poll(100)
        if not events:
            if over.is_set():
                return
            continue
        if not events[0][1] & select.POLLIN:
            return
        buffer = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECEIVE, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue
            return
        cookie, pid, _, number, _, _, *arguments = NOTIFICATION.unpack(buffer)
        name, place = numbers.get(number, ("", 0))
        path = _path(pid, arguments[place], arguments[0] if place else AT_FDCWD) if name else ""
        if path:
            traced.opened[path] = None
        try:
            fcntl.ioctl(listener, SEND, RESPONSE.pack(cookie, 0, 0, CONTINUE))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):
                return


def _path(pid: int, address: int, directory: int) -> str:
    try:
        fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            room = LONGEST - address % LONGEST
            raw = os.pread(fd, room, address)
            if b"\0" not in raw:
                raw += os.pread(fd, LONGEST, address + room)
        finally:
            os.close(fd)
        text = os.fsdecode(raw.split(b"\0", 1)[0])
        if not text or text.startswith("/"):
            return text
        low = directory & 0xFFFFFFFF
        base = os.readlink(f"/proc/{pid}/cwd" if low == AT_FDCWD else f"/proc/{pid}/fd/{low}")
        return os.path.normpath(os.path.join(base, text)) if base.startswith("/") else ""
    except (OSError, OverflowError):
        return ""


def lacking(tree: Tree, opened: Iterable[str], chosen: Iterable[str]) -> list[str]:
    """Of the files opened, those that smith.yaml does not bring, as `paths` entries: real paths, sorted."""
    have = set(chosen)
    found = {walk.path for path in opened if (walk := tree.walk(path)).node is not None}
    return sorted(f"/{path}" for path in found - have)
