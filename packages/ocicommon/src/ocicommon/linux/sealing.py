"""The same command once more, in a program file that nobody can write to.

A process that may trace ours could take the host's interpreter by /proc/PID/exe and write to it once nobody runs it.
"""

import os
import sys

from ocicommon.linux.process import execveat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def execute_again(mark: str, executable: "Callable[[bytes], int]", interpreter: str = "/proc/self/exe") -> None:
    """Go on as the same command in a sealed copy of the interpreter; returns when this process is that already.

    ``mark`` is the ``-X`` option by which that is known; ``executable`` makes a sealed file's descriptor of a content.
    ``interpreter`` is its file, where another program made this process.
    SyscallError when the kernel refuses.
    """
    if mark in sys._xoptions:
        return
    with open(interpreter, "rb", buffering=0) as file:
        program = executable(file.read())
    name, *rest = [os.fsencode(argument) for argument in sys.orig_argv]
    try:
        execveat(
            program,
            "",
            [name, b"-X", mark.encode(), *rest],
            [name + b"=" + value for name, value in os.environb.items()],
        )
    finally:
        os.close(program)
