"""The program that makes a process out of a snapshot, for x86_64. Its arguments are the command line of the slow way.

It maps nothing over what is there, opens nothing but what it was made with, and compares each file with what it was
then. Up to the last jump, whatever fails ends in executing the arguments.
"""

import struct

from railcar.snapshot.record import BOOT_ID
from railcar.stub import elf
from railcar.stub.assembler import assemble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.snapshot.layout import Layout
    from railcar.snapshot.record import Identity
    from railcar.stub.assembler import Rows

#: Below every interpreter: those with a fixed address have 0x400000.
BASE = 0x200000
#: The tables that the instructions name.
TABLES = ("interpreter", "main", "boot_path", "boot", "files", "paths", "regions", "state", "vdso", "target")
#: The registers that a system call keeps, in the order in which they are loaded.
_KEPT = ("rsp", "rbx", "rbp", "r13", "r14", "r15", "rdi", "rdx", "r8", "r9", "r10", "r12")

#: Where the arguments that must be what the snapshot was made with lie on the stack: the interpreter, and railcar's
#: __main__.py behind its options. A copy of the whole installation is another one, whose code may become another.
_INTERPRETER, _MAIN = ("16", "10", "interpreter"), ("72", "48", "main")

_CHECK_ARGUMENTS: "Rows" = [
    ("mov r15, rsp", "49 89 e7"),  # argc, argv and the rest: Python reads them from here
    *(
        row
        for place, encoded, table in (_INTERPRETER, _MAIN)
        for row in (
            ("mov eax, 4", "b8 04 00 00 00"),  # stat
            (f"mov rdi, [r15+{place}]", f"49 8b 7f {encoded}"),
            ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),  # struct stat in scratch below the stack
            ("syscall", "0f 05"),
            ("test eax, eax", "85 c0"),
            ("jne slow", "?75 slow"),
            ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
            (f"mov edi, OFFSET {table}", f"bf &{table}:4"),
            ("mov ecx, 2", "b9 02 00 00 00"),  # st_dev, st_ino
            ("repe cmpsq", "f3 48 a7"),
            ("jne slow", "?75 slow"),
        )
    ),
]

_CHECK_BOOT: "Rows" = [
    ("mov eax, 2", "b8 02 00 00 00"),  # open
    ("mov edi, OFFSET boot_path", "bf &boot_path:4"),
    ("mov esi, 0x80000", "be 00 00 08 00"),  # O_CLOEXEC
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("js slow", "?78 slow"),
    ("mov ebx, eax", "89 c3"),
    ("mov edi, eax", "89 c7"),
    ("xor eax, eax", "31 c0"),  # read
    ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
    ("mov edx, 36", "ba 24 00 00 00"),
    ("syscall", "0f 05"),
    ("mov eax, 3", "b8 03 00 00 00"),  # close
    ("mov edi, ebx", "89 df"),
    ("syscall", "0f 05"),
    ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
    ("mov edi, OFFSET boot", "bf &boot:4"),
    ("mov ecx, 36", "b9 24 00 00 00"),
    ("repe cmpsb", "f3 a6"),
    ("jne slow", "?75 slow"),
]

#: With less than 64 MiB of these the picture or the command may not have room, and there is no way back from a command.
_RLIMIT_DATA, _RLIMIT_AS = 2, 9

_CHECK_LIMITS: "Rows" = [
    row
    for number in (_RLIMIT_DATA, _RLIMIT_AS)
    for row in (
        ("mov eax, 97", "b8 61 00 00 00"),  # getrlimit
        (f"mov edi, {number}", f"bf {number:02x} 00 00 00"),
        ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
        ("syscall", "0f 05"),
        ("cmp qword ptr [r15-256], 0x4000000", "49 81 bf 00 ff ff ff 00 00 00 04"),
        ("jb slow", "?72 slow"),
    )
]

_OPEN_FILES: "Rows" = [
    ("mov ebx, OFFSET files", "bb &files:4"),
    ("lea r13, [r15-1024]", "4d 8d af 00 fc ff ff"),  # the descriptors, four bytes each
    ("file:", ""),
    ("mov eax, 2", "b8 02 00 00 00"),  # open
    ("mov edi, [rbx]", "8b 3b"),  # the path's place among the paths
    ("add edi, OFFSET paths", "81 c7 &paths:4"),
    ("mov esi, 0x80000", "be 00 00 08 00"),  # O_CLOEXEC
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("js slow", "?78 slow"),
    ("mov [r13], eax", "41 89 45 00"),
    ("add r13, 4", "49 83 c5 04"),
    ("mov edi, eax", "89 c7"),
    ("mov eax, 5", "b8 05 00 00 00"),  # fstat
    ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("jne slow", "?75 slow"),
    ("lea rsi, [r15-256]", "49 8d b7 00 ff ff ff"),
    ("lea rdi, [rbx+8]", "48 8d 7b 08"),
    ("mov ecx, 2", "b9 02 00 00 00"),  # st_dev, st_ino
    ("repe cmpsq", "f3 48 a7"),
    ("jne slow", "?75 slow"),
    ("lea rsi, [r15-208]", "49 8d b7 30 ff ff ff"),
    ("mov ecx, 1", "b9 01 00 00 00"),  # st_size
    ("repe cmpsq", "f3 48 a7"),
    ("jne slow", "?75 slow"),
    ("lea rsi, [r15-168]", "49 8d b7 58 ff ff ff"),
    ("mov ecx, 4", "b9 04 00 00 00"),  # st_mtim, st_ctim
    ("repe cmpsq", "f3 48 a7"),
    ("jne slow", "?75 slow"),
    ("add rbx, 64", "48 83 c3 40"),
    ("cmp dword ptr [rbx], -1", "83 3b ff"),
    ("jne file", "?75 file"),
]

_MAP_REGIONS: "Rows" = [
    ("mov ebx, OFFSET regions", "bb &regions:4"),
    ("region:", ""),
    ("mov rdi, [rbx]", "48 8b 3b"),  # address
    ("mov rsi, [rbx+8]", "48 8b 73 08"),  # length
    ("mov edx, [rbx+16]", "8b 53 10"),  # protection
    ("mov r10d, [rbx+20]", "44 8b 53 14"),  # flags
    ("or r8, -1", "49 83 c8 ff"),
    ("mov rax, [rbx+24]", "48 8b 43 18"),  # which of the files, or -1
    ("test rax, rax", "48 85 c0"),
    ("js anonymous", "?78 anonymous"),
    ("mov r8d, [r15+rax*4-1024]", "45 8b 84 87 00 fc ff ff"),
    ("anonymous:", ""),
    ("mov r9, [rbx+32]", "4c 8b 4b 20"),  # offset
    ("mov eax, 9", "b8 09 00 00 00"),  # mmap
    ("syscall", "0f 05"),
    ("cmp rax, [rbx]", "48 3b 03"),  # kernels before 4.17 know no MAP_FIXED_NOREPLACE and choose another place
    ("jne slow", "?75 slow"),
    ("add rbx, 40", "48 83 c3 28"),
    ("cmp qword ptr [rbx], 0", "48 83 3b 00"),
    ("jne region", "?75 region"),
]

_FILL_STACK: "Rows" = [
    ("mov r12d, OFFSET state", "41 bc &state:4"),
    ("mov edi, [r15-1024]", "41 8b bf 00 fc ff ff"),  # the first of the files is the image
    ("mov rsi, [r12]", "49 8b 34 24"),  # where the stack's used part begins
    ("mov rdx, [r12+8]", "49 8b 54 24 08"),  # its length
    ("mov r10, [r12+16]", "4d 8b 54 24 10"),  # its offset in the image
    ("mov eax, 17", "b8 11 00 00 00"),  # pread64
    ("syscall", "0f 05"),
    ("cmp rax, [r12+8]", "49 3b 44 24 08"),
    ("jne slow", "?75 slow"),
    ("lea rbx, [r15-1024]", "49 8d 9f 00 fc ff ff"),
    ("close:", ""),
    ("mov edi, [rbx]", "8b 3b"),
    ("mov eax, 3", "b8 03 00 00 00"),  # close
    ("syscall", "0f 05"),
    ("add rbx, 4", "48 83 c3 04"),
    ("cmp rbx, r13", "4c 39 eb"),
    ("jne close", "?75 close"),
]

_MOVE_VDSO: "Rows" = [
    ("mov rax, [r15]", "49 8b 07"),  # argc
    ("lea rbx, [r15+rax*8+16]", "49 8d 5c c7 10"),  # behind argv and its null: envp
    ("variable:", ""),
    ("add rbx, 8", "48 83 c3 08"),
    ("cmp qword ptr [rbx-8], 0", "48 83 7b f8 00"),
    ("jne variable", "?75 variable"),
    ("auxiliary:", ""),
    ("mov rax, [rbx]", "48 8b 03"),
    ("test rax, rax", "48 85 c0"),
    ("je slow", "?74 slow"),
    ("add rbx, 16", "48 83 c3 10"),
    ("cmp rax, 33", "48 83 f8 21"),  # AT_SYSINFO_EHDR
    ("jne auxiliary", "?75 auxiliary"),
    ("mov rbp, [rbx-8]", "48 8b 6b f8"),  # where the vdso is
    ("mov ebx, OFFSET vdso", "bb &vdso:4"),
    ("move:", ""),
    ("mov rdi, rbp", "48 89 ef"),
    ("sub rdi, [rbx]", "48 2b 3b"),  # how far before the vdso this piece is
    ("mov rsi, [rbx+8]", "48 8b 73 08"),  # length
    ("mov rdx, rsi", "48 89 f2"),
    ("mov r10d, 3", "41 ba 03 00 00 00"),  # MREMAP_MAYMOVE | MREMAP_FIXED
    ("mov r8, [rbx+16]", "4c 8b 43 10"),  # where the snapshot has it
    ("cmp rdi, r8", "4c 39 c7"),
    ("je moved", "?74 moved"),
    ("mov eax, 25", "b8 19 00 00 00"),  # mremap
    ("syscall", "0f 05"),
    ("cmp rax, [rbx+16]", "48 3b 43 10"),
    ("jne slow", "?75 slow"),
    ("moved:", ""),
    ("add rbx, 24", "48 83 c3 18"),
    ("cmp qword ptr [rbx+8], 0", "48 83 7b 08 00"),
    ("jne move", "?75 move"),
]

_BE_THE_THREAD: "Rows" = [
    ("mov eax, 158", "b8 9e 00 00 00"),  # arch_prctl
    ("mov edi, 0x1002", "bf 02 10 00 00"),  # ARCH_SET_FS
    ("mov rsi, [r12+24]", "49 8b 74 24 18"),  # the thread
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("jne slow", "?75 slow"),
    ("mov eax, 218", "b8 da 00 00 00"),  # set_tid_address, which returns the thread's id
    ("mov rdi, [r12+32]", "49 8b 7c 24 20"),  # where the C library keeps it
    ("syscall", "0f 05"),
    ("mov rdi, [r12+32]", "49 8b 7c 24 20"),
    ("mov [rdi], eax", "89 07"),
    ("mov eax, 273", "b8 11 01 00 00"),  # set_robust_list
    ("mov rdi, [r12+40]", "49 8b 7c 24 28"),
    ("mov esi, 24", "be 18 00 00 00"),  # sizeof(struct robust_list_head)
    ("syscall", "0f 05"),
]

_GO_ON: "Rows" = [
    ("mov rsi, [r12+48]", "49 8b 74 24 30"),  # the buffer of the read that the snapshot waits in
    ("mov [rsi], r15", "4c 89 3e"),
    ("mov rsp, [r12+56]", "49 8b 64 24 38"),
    ("mov rbx, [r12+64]", "49 8b 5c 24 40"),
    ("mov rbp, [r12+72]", "49 8b 6c 24 48"),
    ("mov r13, [r12+80]", "4d 8b 6c 24 50"),
    ("mov r14, [r12+88]", "4d 8b 74 24 58"),
    ("mov r15, [r12+96]", "4d 8b 7c 24 60"),
    ("mov rdi, [r12+104]", "49 8b 7c 24 68"),
    ("mov rdx, [r12+112]", "49 8b 54 24 70"),
    ("mov r8, [r12+120]", "4d 8b 44 24 78"),
    ("mov r9, [r12+128]", "4d 8b 8c 24 80 00 00 00"),
    ("mov r10, [r12+136]", "4d 8b 94 24 88 00 00 00"),
    ("mov r12, [r12+144]", "4d 8b a4 24 90 00 00 00"),
    ("mov eax, 8", "b8 08 00 00 00"),  # what the read returns: eight bytes
    ("jmp qword ptr [target]", "ff 24 25 &target:4"),
]

_SLOW: "Rows" = [
    ("slow:", ""),
    ("mov eax, 59", "b8 3b 00 00 00"),  # execve
    ("mov rdi, [r15+16]", "49 8b 7f 10"),  # argv[1]
    ("lea rsi, [r15+16]", "49 8d 77 10"),
    ("mov rdx, [r15]", "49 8b 17"),
    ("lea rdx, [r15+rdx*8+16]", "49 8d 54 d7 10"),  # envp
    ("syscall", "0f 05"),
    ("mov eax, 231", "b8 e7 00 00 00"),  # exit_group
    ("mov edi, 127", "bf 7f 00 00 00"),
    ("syscall", "0f 05"),
    ("hlt", "f4"),
]

ROWS = [
    *_CHECK_ARGUMENTS,
    *_CHECK_BOOT,
    *_CHECK_LIMITS,
    *_OPEN_FILES,
    *_MAP_REGIONS,
    *_FILL_STACK,
    *_MOVE_VDSO,
    *_BE_THE_THREAD,
    *_GO_ON,
    *_SLOW,
]


def data(
    layout: "Layout", interpreter: "Identity", main: "Identity", files: "list[Identity]", boot: bytes
) -> dict[str, bytes]:
    """The tables that the instructions walk.

    `main`: railcar's __main__.py. `files`: the image, those of the layout, then those only compared.
    """
    paths, places = bytearray(), []
    for file in files:
        places.append(len(paths))
        paths += file.path.encode("utf-8", "surrogateescape") + b"\0"
    thread = layout.thread
    state = [*layout.stack, thread.pointer, thread.tid, thread.robust_list, layout.registers["rsi"]]
    return {
        "interpreter": struct.pack("<2Q", interpreter.device, interpreter.inode),
        "main": struct.pack("<2Q", main.device, main.inode),
        "boot_path": BOOT_ID.encode() + b"\0",
        "boot": boot,
        "files": b"".join(
            struct.pack("<q7Q", place, *file.numbers()) for place, file in zip(places, files, strict=True)
        )
        + struct.pack("<q", -1),
        "paths": bytes(paths),
        "regions": b"".join(
            struct.pack("<QQIIqQ", row.start, row.length, row.protection, row.flags, row.file, row.offset)
            for row in layout.rows
        )
        + bytes(8),
        "state": struct.pack(f"<{len(state) + len(_KEPT)}Q", *state, *(layout.registers[name] for name in _KEPT)),
        "vdso": b"".join(struct.pack("<3Q", *row) for row in layout.vdso) + bytes(16),
        "target": struct.pack("<Q", layout.registers["rip"]),
    }


def image(tables: dict[str, bytes]) -> bytes:
    """The whole ELF file."""
    return elf.file(assemble, ROWS, {}, tables, "x86_64", BASE)
