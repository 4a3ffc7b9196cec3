"""Files made for / changed so that they live in /dev/crashcart and read nothing of the container. Pure.

Strings inside programs keep their length, so that nothing around them moves: what is shorter is filled up with
slashes, which mean nothing in a path. Where the new place is too long for the old string, a short link serves
(``/dev/.cc``, which only a session's own /dev has) or, for what must not be read at all, a name that is not there.
elf(5), ld.so(8), nsswitch.conf(5).
"""

from __future__ import annotations

import struct

from crashcart.errors import CrashcartError

ROOT = b"/dev/crashcart"
INTERPRETER = ROOT + b"/lib/ld.so"
_PT_DYNAMIC, _PT_INTERP = 2, 3
_DT_RPATH, _DT_RUNPATH = 15, 29
_IGNORED_TAG = 0x6000000D  # the first of the tags for an operating system: no loader looks at it
_TRIPLETS = {62: b"x86_64-linux-gnu", 183: b"aarch64-linux-gnu"}  # e_machine


def fill(old: bytes, new: bytes, file: bytes = b"") -> bytes:
    """``new`` (and ``file`` in it) made as long as ``old`` by slashes between them. ValueError when it is longer."""
    room = len(old) - len(new) - len(file)
    if room < (1 if file else 0):
        raise ValueError(f"{new + file!r} is longer than {old!r}")
    return new + b"/" * room + file


def replacements(machine: int) -> list[tuple[bytes, bytes]]:
    """(old, new) of equal length, the longer before what they begin with."""
    triplet = _TRIPLETS[machine]
    library = ROOT + b"/lib"
    return [
        (old, fill(old, new, file))
        for old, new, file in (
            (b"/etc/ld.so.preload", ROOT, b"p"),
            (b"/etc/ld.so.cache", ROOT + b"/c", b""),
            (b"/etc/nsswitch.conf", ROOT + b"/nss", b""),
            (b"/etc/ssl/certs/ca-certificates.crt", ROOT + b"/etc", b"ca.crt"),
            (b"/etc/ssl/certs", b"/dev/.cc/ssl/c", b""),
            (b"/etc/manpath.config", ROOT, b"mpc"),
            (b"/etc/gnutls/config", ROOT + b"/gnu", b""),
            (b"/usr/lib/locale", b"/dev/.cc/locale", b""),
            (b"/usr/lib/ssl", b"/dev/.cc/ssl", b""),
            (b"/usr/lib/" + triplet, library, b""),
            (b"/lib/" + triplet, library, b""),
            (b"/usr/libexec/", b"/dev/.cc/lx/", b""),
            (b"/usr/share/", b"/dev/.cc/s/", b""),
            (b"/etc/passwd", b"/dev/.ccpwd", b""),
            (b"/etc/group", b"/dev/.ccgr", b""),
            (b"/etc/terminfo", b"/dev/.cc/ti", b""),
            (b"/lib/terminfo", b"/dev/.cc/ti", b""),
            (b"/etc/inputrc", b"/dev/.cc/irc", b""),
            (b"/etc/bash.bashrc", b"/dev/.cc/nobash", b""),
            (b"/etc/profile", b"/dev/.cc/npr", b""),
            (b"/etc/gdb/gdbinit", b"/dev/.cc/nogdbi", b""),
            (b"/etc/vim", b"/dev/.cc", b""),
            (b"/etc/wgetrc", b"/dev/.cc/wg", b""),
            (b"/etc/sysless", b"/dev/.cc/nol", b""),  # and syslesskey: it names a program that less starts
            (b"/usr/bin/.sysless", b"/dev/.cc/nol", b""),
            (b"/etc/toprc", b"/dev/.ccnt", b""),
            (b"/etc/topdefaultrc", b"/dev/.cc/ntd", b""),
            # What system(3) and popen(3) start: the container's own shell would have the rights of the session.
            (b"/bin/sh\0", b"/dev/sh\0", b""),
            (b"-/bin/sh\0", b"-/dev/sh\0", b""),  # for a login; a linker keeps the other as the end of this
        )
    ]


def is_elf(data: bytes) -> bool:
    """A 64-bit little-endian ELF file of a machine that we know."""
    return data[:6] == b"\x7fELF\x02\x01" and machine(data) in _TRIPLETS


def machine(data: bytes | bytearray) -> int:
    """e_machine."""
    found: int = struct.unpack_from("<H", data, 18)[0]
    return found


def elf(data: bytes, name: str) -> bytes:
    """A program or library, relocated. CrashcartError when it cannot be."""
    made = bytearray(data)
    for kind, offset, size in _segments(data, name):
        if kind == _PT_INTERP:
            if size < len(INTERPRETER) + 1:
                raise CrashcartError(f"{name} has no room for the interpreter {INTERPRETER.decode()}")
            made[offset : offset + size] = INTERPRETER.ljust(size, b"\0")
        elif kind == _PT_DYNAMIC:
            _forget_search_paths(made, offset, size)
    _forget_default_directories(made)
    for old, new in replacements(machine(data)):
        _replace(made, old, new)
    return bytes(made)


def _segments(data: bytes, name: str) -> list[tuple[int, int, int]]:
    """(type, offset, size in the file) of each program header."""
    start, entry, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    found = []
    for number in range(count):
        kind, _flags, offset, _address, _physical, size = struct.unpack_from("<IIQQQQ", data, start + number * entry)
        if kind in (_PT_DYNAMIC, _PT_INTERP) and offset + size > len(data):
            raise CrashcartError(f"{name} is cut off: a segment ends behind the file")
        found.append((kind, offset, size))
    return found


def _forget_search_paths(made: bytearray, offset: int, size: int) -> None:
    """The loader's own path is the image's library directory; others are the container's."""
    for at in range(offset, offset + size - 15, 16):
        tag = struct.unpack_from("<q", made, at)[0]
        if tag == 0:
            return
        if tag in (_DT_RPATH, _DT_RUNPATH):
            struct.pack_into("<q", made, at, _IGNORED_TAG)


def _replace(made: bytearray, old: bytes, new: bytes) -> int:
    """Replace where a path starts, and not in the midst of a longer one; how often."""
    count = 0
    at = made.find(old)
    while at >= 0:
        if at == 0 or not _in_path(made[at - 1]):
            made[at : at + len(old)] = new
            count += 1
        at = made.find(old, at + len(old))
    return count


def _in_path(byte: int) -> bool:
    return chr(byte).isalnum() or byte in b"/._-"


def _forget_default_directories(made: bytearray) -> int:
    """The last two directories that a loader (or a static program) knows have no room for another name; how often.

    Their lengths stand elsewhere, and the loader insists on their first slash. What then ends is the path "/": whatever
    name is appended behind the NUL, a directory is opened, which is no library.
    """
    triplet = _TRIPLETS[machine(made)]
    kept, lost = b"/lib/" + triplet + b"/\0/usr/lib/" + triplet + b"/\0", b"/lib/\0/usr/lib/\0"
    count = 0
    at = made.find(kept + lost)
    while at >= 0:
        count += 1
        made[at + len(kept) : at + len(kept) + len(lost)] = b"/\0\0\0\0\0/\0\0\0\0\0\0\0\0\0"
        at = made.find(kept + lost, at + 1)
    return count


def loader(data: bytes, name: str) -> bytes:
    """The dynamic loader: it knows one directory, no cache, no preload but the image's. CrashcartError if unknown."""
    if not _forget_default_directories(bytearray(data)):
        raise CrashcartError(f"{name} is no loader that is understood: its default directories are not where they were")
    for needed in (b"/etc/ld.so.preload", b"/etc/ld.so.cache"):
        if needed not in data:
            raise CrashcartError(f"{name} is no loader that is understood: it does not speak of {needed.decode()}")
    return elf(data, name)


def script(data: bytes, has: frozenset[str]) -> bytes | None:
    """A script with its interpreter in the image; None when the image has no such interpreter."""
    line, newline, rest = data.partition(b"\n")
    words = line[2:].split(None, 1)
    if not words:
        return None
    name = words[0].rpartition(b"/")[2]
    arguments = words[1] if len(words) > 1 else b""
    if name == b"env":
        name, _, arguments = arguments.partition(b" ")
    if name.decode("utf-8", "replace") not in has:
        return None
    return b"#!" + ROOT + b"/bin/" + name + (b" " + arguments if arguments else b"") + newline + rest
