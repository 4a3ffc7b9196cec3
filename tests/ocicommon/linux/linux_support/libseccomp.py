"""The reference filter: what the engines' own library makes of a profile, by the rules that runc feeds it with."""

import ctypes
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from ocicommon.linux.seccomp.constants import ARCHITECTURES
from ocicommon.linux.seccomp.profile import action_value, default_action, rules

ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "x32": 0x4000003E, "aarch64": 0xC00000B7, "arm": 0x40000028}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def library() -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    found.seccomp_init.restype = ctypes.c_void_p
    found.seccomp_init.argtypes = [ctypes.c_uint32]
    found.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    for name in ("seccomp_arch_add", "seccomp_arch_remove"):
        getattr(found, name).argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    found.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    found.seccomp_release.argtypes = [ctypes.c_void_p]
    return found


def compiled(lib: ctypes.CDLL, profile: Mapping[str, Any], native: str) -> bytes:
    """The library's program for the profile's architectures with ``native`` in the place of the running machine's."""
    default = default_action(profile)
    context = lib.seccomp_init(default)
    assert context
    try:
        wanted = [native, *(ARCHITECTURES[name] for name in profile.get("architectures", []))]
        lib.seccomp_arch_remove(context, 0)
        for abi in dict.fromkeys(wanted):
            assert lib.seccomp_arch_add(context, ARCH[abi]) == 0, abi
        for names, action, alternatives in rules(profile):
            if action == default:
                continue
            for name in names:
                number = lib.seccomp_syscall_resolve_name(name.encode())
                if number == -1:
                    continue
                for conditions in alternatives or [()]:
                    array = (Compare * max(1, len(conditions)))(
                        *(Compare(index, OPERATORS[op], value, second) for index, op, value, second in conditions)
                    )
                    code = lib.seccomp_rule_add_array(context, action, number, len(conditions), array)
                    assert code in (0, -17), f"{name}: {os.strerror(-code)}"
        with tempfile.TemporaryFile() as file:
            assert lib.seccomp_export_bpf(context, file.fileno()) == 0
            file.seek(0)
            return file.read()
    finally:
        lib.seccomp_release(context)


def supported(lib: ctypes.CDLL, name: str) -> bool:
    return bool(lib.seccomp_syscall_resolve_name(name.encode()) != -1)


__all__ = ["ARCH", "action_value", "compiled", "library", "supported"]
