"""What runs in the interpreter that a snapshot is made of: it waits, and what comes back from the wait is a command."""

import _signal  # type: ignore[import-not-found]
import os
import posix
import sys

from ocicommon.linux import lockdown, memory

from railcar import snapshot, tracing
from railcar.bytecode import HOT
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_AT_EXECFN = 31
_SIGINT, _SIGPIPE, _SIGXFSZ = 2, 13, 25
#: The C library's own, which it lets nobody set: a child of its posix_spawn begins with them ignored.
_INTERNAL = 1 << 31 | 1 << 32
_environ = memory.symbol("environ")


def wait() -> None:
    """Import what hot commands import, say where the C library keeps what must be mended, and wait for a command.

    The read returns in a process that `restorer` has made of this one's memory, with the address of its first stack.
    """
    for command, more in HOT.items():
        for name in (f"railcar.cli.{command}", *more.split()):
            __import__(name)
    lockdown.preload()
    if type(sys.modules["os"]).__name__ != "_System":
        raise RailcarError("a hot command imports the whole of os, whose environ is that of one process")
    memory.stop_heap()
    rseq = memory.symbol("__rseq_offset")
    posix.write(1, b"%d %d\n" % (memory.symbol("__curbrk"), memory.word(rseq) if rseq else 0))
    _go_on(int.from_bytes(posix.read(0, 8), "little"))


def _go_on(stack: int) -> None:
    """Be the command that the process was executed for."""
    argv, variables, environ = arguments(stack)
    memory.set_word(_environ, environ)
    posix.environ.clear()
    for variable in variables:
        name, _, value = variable.partition(b"=")
        posix.environ.setdefault(name, value)
    # Behind the restorer's own name: the command line of an interpreter.
    sys.orig_argv[:] = [os.fsdecode(argument) for argument in argv[1:]]
    first = next(n for n, argument in enumerate(sys.orig_argv) if argument.endswith("/railcar/__main__.py"))
    sys.argv[:] = sys.orig_argv[first:]
    sys._xoptions[snapshot.MARK] = True
    _signals()
    _streams()
    tracing.restart()
    from railcar.cli.main import main

    main(True)


def arguments(stack: int) -> tuple[list[bytes], list[bytes], int]:
    """argv, the environment, and the address of envp, from the stack that the kernel made at exec."""
    count = memory.word(stack)
    environ = place = stack + 8 * (count + 2)
    while memory.word(place):
        place += 8
    place += 8
    while memory.word(place) != _AT_EXECFN:
        place += 16
    # The strings lie in one piece, and the program's name behind them.
    begin = memory.word(stack + 8)
    strings = memory.content(begin, memory.word(place + 8) - begin).split(b"\0")
    return strings[:count], strings[count:-1], environ


def _signals() -> None:
    """As the interpreter does at its start: exec has left what was ignored, and taken every handler away."""
    ignored = _ignored() & ~_INTERNAL
    for number in range(1, ignored.bit_length() + 1):
        if ignored >> (number - 1) & 1:
            _signal.signal(number, _signal.SIG_IGN)
    _signal.signal(_SIGPIPE, _signal.SIG_IGN)
    _signal.signal(_SIGXFSZ, _signal.SIG_IGN)
    if not ignored >> (_SIGINT - 1) & 1:
        _signal.signal(_SIGINT, _signal.default_int_handler)


def _ignored() -> int:
    """The signals that this process ignores, as a mask; none where that cannot be known."""
    try:
        fd = posix.open("/proc/thread-self/status", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(posix.read(fd, 8192).partition(b"SigIgn:")[2].split(None, 1)[0], 16)
    finally:
        posix.close(fd)


def _streams() -> None:
    """Streams that are closed are None; output to a terminal goes line by line."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            posix.fstat(fd)
        except OSError:
            setattr(sys, name, None)
    output: Any = sys.stdout
    if output is not None and posix.isatty(1):
        output.reconfigure(line_buffering=True)
