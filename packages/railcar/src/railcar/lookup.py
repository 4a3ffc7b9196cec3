"""Finding the program in the container's own root, as the user who will run it: what exec would refuse fails earlier.

Engines turn the ends of these texts into exit codes 127 and 126, and some read them at create only.
"""

import os
import stat

from railcar.errors import RailcarError, StepError

_EM = {"x86_64": (62, 3), "aarch64": (183, 40)}  # ELF machine numbers that the kernel runs itself
_MACHINE_NAMES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 22: "s390x", 21: "ppc64"}
_ENOENT, _EACCES, _ENOEXEC, _ENOTDIR, _EISDIR, _ELOOP = 2, 13, 8, 20, 21, 40
_ST_NOEXEC = 8
_MACHINE = os.uname().machine


def find(argument: bytes, search: str, emulated: bool) -> bytes:
    """The path to execute for args[0]. `search` is PATH; `emulated`: binfmt_misc may run foreign programs.

    Raises StepError or RailcarError whose text ends as engines know it.
    """
    shown = os.fsdecode(argument)
    if b"/" in argument:
        _check(argument, shown)
        _check_format(argument, shown, emulated)
        return argument
    denied = b""
    for directory in os.fsencode(search).split(b":"):
        path = (directory or b".").rstrip(b"/") + b"/" + argument
        try:
            _check(path, os.fsdecode(path))
        except StepError as error:
            if error.errno == _EACCES and not denied and _is_file(path):
                denied = path
            continue
        if not path.startswith(b"/"):
            continue  # the working directory is the image's: a program there is asked for by a path with a slash
        _check_format(path, os.fsdecode(path), emulated)
        return path
    if denied:
        _check(denied, os.fsdecode(denied))
    raise RailcarError(f'exec: "{shown}" is in no directory of PATH ({search}): executable file not found in $PATH')


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _check(path: bytes, shown: str) -> None:
    try:
        found = os.stat(path)
    except OSError as error:
        raise StepError(
            "exec", shown, error.errno or 0, _missing_part(path) if error.errno == _ENOENT else ""
        ) from None
    if stat.S_ISDIR(found.st_mode):
        raise StepError("exec", shown, _EACCES, "it is a directory: is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise StepError("exec", shown, _EACCES, "it is no regular file")
    if not os.access(path, os.X_OK, effective_ids=True):
        raise StepError("exec", shown, _EACCES, _why_not(path, found))


def _missing_part(path: bytes) -> str:
    try:
        target = os.readlink(path)
    except OSError:
        return ""
    return f"it is a symbolic link to {os.fsdecode(target)}, which does not exist"


def _why_not(path: bytes, found: os.stat_result) -> str:
    try:
        if os.statvfs(path).f_flag & _ST_NOEXEC:
            return "it is on a filesystem mounted noexec"
    except OSError:
        return ""
    if not found.st_mode & 0o111:
        return f"its mode {stat.S_IMODE(found.st_mode):04o} lets nobody execute it"
    return (
        f"its mode {stat.S_IMODE(found.st_mode):04o} and owner {found.st_uid}:{found.st_gid} do not let"
        f" {os.geteuid()}:{os.getegid()} execute it"
    )


def _check_format(path: bytes, shown: str, emulated: bool) -> None:
    """Look at the first bytes for what makes exec fail with a misleading ENOENT: a missing loader or interpreter."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return  # executable, and not readable: only exec can tell
    try:
        head = os.pread(fd, 1024, 0)
        if head.startswith(b"#!"):
            _check_interpreter(head, shown)
        elif head.startswith(b"\x7fELF"):
            _check_elf(fd, head, shown, emulated)
    except OSError:
        return
    finally:
        os.close(fd)


def _check_interpreter(head: bytes, shown: str) -> None:
    words = head[2:].split(b"\n")[0].strip(b" \t").split()
    if not words:
        return
    interpreter = words[0]
    name = os.fsdecode(interpreter)
    carriage = " (it ends in a carriage return: the file has DOS line ends)" if interpreter.endswith(b"\r") else ""
    if not os.path.exists(interpreter):
        hint = f"the file exists, but the interpreter of its first line, {name!r}, does not{carriage}"
        raise StepError("exec", shown, _ENOENT, hint)
    if not os.access(interpreter, os.X_OK, effective_ids=True):
        raise StepError("exec", shown, _EACCES, f"the interpreter of its first line, {name}, cannot be executed")


def _check_elf(fd: int, head: bytes, shown: str, emulated: bool) -> None:
    if len(head) < 64 or head[5] != 1:
        return
    machine = int.from_bytes(head[18:20], "little")
    if machine not in _EM.get(_MACHINE, (machine,)):
        if emulated:
            return
        name = _MACHINE_NAMES.get(machine, f"machine {machine}")
        raise StepError("exec", shown, _ENOEXEC, f"it is a program for {name}, and this is {_MACHINE}")
    wide = head[4] == 2
    offset = int.from_bytes(head[32:40] if wide else head[28:32], "little")
    size, count = (int.from_bytes(head[at : at + 2], "little") for at in ((54, 56) if wide else (42, 44)))
    table = os.pread(fd, min(size * count, 8192), offset)
    for start in range(0, len(table) - size + 1, size or 1):
        entry = table[start : start + size]
        if int.from_bytes(entry[:4], "little") != 3:  # PT_INTERP
            continue
        where = int.from_bytes(entry[8:16] if wide else entry[4:8], "little")
        length = int.from_bytes(entry[32:40] if wide else entry[16:20], "little")
        loader = os.pread(fd, min(length, 4096), where).rstrip(b"\0")
        if loader and not os.path.exists(loader):
            hint = (
                f"the file exists, but its interpreter {os.fsdecode(loader)} does not"
                " (a dynamic program in an image without its loader)"
            )
            raise StepError("exec", shown, _ENOENT, hint)
        return
