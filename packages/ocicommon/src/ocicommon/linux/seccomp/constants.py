"""What linux/seccomp.h, linux/filter.h and linux/audit.h say, under the runtime specification's names."""

from __future__ import annotations

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000
RET_DATA = 0x0000FFFF

ACTIONS = {
    "SCMP_ACT_KILL": RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": RET_TRAP,
    "SCMP_ACT_ERRNO": RET_ERRNO,
    "SCMP_ACT_TRACE": RET_TRACE,
    "SCMP_ACT_ALLOW": RET_ALLOW,
    "SCMP_ACT_LOG": RET_LOG,
    "SCMP_ACT_NOTIFY": RET_USER_NOTIF,
}

FILTER_FLAG_TSYNC = 1
FILTER_FLAG_LOG = 2
FILTER_FLAG_SPEC_ALLOW = 4
FILTER_FLAG_NEW_LISTENER = 8
FILTER_FLAG_WAIT_KILLABLE_RECV = 32

FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": FILTER_FLAG_WAIT_KILLABLE_RECV,
}

OPERATORS = (
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)

AUDIT_ARCH = {
    "x86_64": 0xC000003E,
    "x32": 0xC000003E,
    "i386": 0x40000003,
    "aarch64": 0xC00000B7,
    "arm": 0x40000028,
}

# The specification's architecture: our ABI, or none for those that neither x86_64 nor aarch64 kernels serve.
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
    "SCMP_ARCH_MIPS": None,
    "SCMP_ARCH_MIPS64": None,
    "SCMP_ARCH_MIPS64N32": None,
    "SCMP_ARCH_MIPSEL": None,
    "SCMP_ARCH_MIPSEL64": None,
    "SCMP_ARCH_MIPSEL64N32": None,
    "SCMP_ARCH_PPC": None,
    "SCMP_ARCH_PPC64": None,
    "SCMP_ARCH_PPC64LE": None,
    "SCMP_ARCH_S390": None,
    "SCMP_ARCH_S390X": None,
    "SCMP_ARCH_PARISC": None,
    "SCMP_ARCH_PARISC64": None,
    "SCMP_ARCH_RISCV64": None,
    "SCMP_ARCH_LOONGARCH64": None,
    "SCMP_ARCH_M68K": None,
    "SCMP_ARCH_SH": None,
    "SCMP_ARCH_SHEB": None,
}

# Which ABIs a machine's kernel can be called by; the first is its own.
SERVED = {
    "x86_64": ("x86_64", "x32", "i386"),
    "aarch64": ("aarch64", "arm"),
    "arm64": ("aarch64", "arm"),
}

LD_W_ABS = 0x20
ALU_AND_K = 0x54
JMP_JA = 0x05
JMP_JEQ_K = 0x15
JMP_JGT_K = 0x25
JMP_JGE_K = 0x35
JMP_JSET_K = 0x45
RET_K = 0x06

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6].
OFFSET_NR = 0
OFFSET_ARCH = 4
OFFSET_ARGS = 16

EPERM = 1
ENOSYS = 38

# BPF_MAXINSNS
MOST_INSTRUCTIONS = 4096
