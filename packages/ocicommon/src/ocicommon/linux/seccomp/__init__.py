"""Seccomp filters from the runtime specification's ``linux.seccomp``: compiled, tried and loaded without a library.

``compile`` makes the program, ``flags`` what to load it with, ``load`` loads it, ``emulate`` says what it would answer.
``ocicommon.linux.seccomp.default`` has the profile that container engines use. seccomp(2), linux/filter.h.
"""

from ocicommon.linux.seccomp.compiler import compile  # noqa: A004 - seccomp.compile is what it is
from ocicommon.linux.seccomp.emulator import emulate
from ocicommon.linux.seccomp.loader import load
from ocicommon.linux.seccomp.profile import SeccompError, flags

__all__ = ["SeccompError", "compile", "emulate", "flags", "load"]
