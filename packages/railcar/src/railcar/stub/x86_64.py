"""The stub for x86_64. At entry rsp points at argc, argv[0], argv[1] (the program's path), argv[2:], 0, envp, 0."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.stub import Needs
    from railcar.stub.assembler import Rows

# As process 1 it would not die of SIGTERM without a handler: one that ends it, until the exec takes it away.
_TERMINATE = [
    ("xor eax, eax", "31 c0"),
    ("push rax", "50"),  # struct sigaction from its end: no mask
    ("push rax", "50"),  # no restorer, since the handler does not return
    ("push 0x4000000", "68 00 00 00 04"),  # SA_RESTORER
    ("mov eax, OFFSET terminated", "b8 &terminated:4"),
    ("push rax", "50"),
    ("mov eax, 13", "b8 0d 00 00 00"),  # rt_sigaction
    ("mov edi, 15", "bf 0f 00 00 00"),  # SIGTERM
    ("mov rsi, rsp", "48 89 e6"),
    ("xor edx, edx", "31 d2"),
    ("mov r10d, 8", "41 ba 08 00 00 00"),
    ("syscall", "0f 05"),
    ("add rsp, 32", "48 83 c4 20"),
]

# Wait for one byte; a stop and continue gives EINTR.
_WAIT = [
    ("wait:", ""),
    ("xor eax, eax", "31 c0"),  # read
    ("mov edi, OFFSET go", "bf go:4"),
    ("lea rsi, [rsp-16]", "48 8d 74 24 f0"),  # scratch below the stack: nothing else uses it
    ("mov edx, 1", "ba 01 00 00 00"),
    ("syscall", "0f 05"),
    ("cmp rax, -4", "48 83 f8 fc"),  # EINTR
    ("je wait", "?74 wait"),
    ("cmp rax, 1", "48 83 f8 01"),
    ("jne quit", "?75 quit"),
]

# The label counts for the next exec, and the kernel takes it only from the process that opened the file.
_LABEL = [
    ("mov r12d, 1", "41 bc 01 00 00 00"),  # step 1
    ("mov eax, 257", "b8 01 01 00 00"),  # openat
    ("mov edi, OFFSET proc", "bf proc:4"),
    ("mov esi, OFFSET attribute", "be &attribute:4"),
    ("mov edx, 0x80001", "ba 01 00 08 00"),  # O_WRONLY | O_CLOEXEC
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("js failed", "?78 failed"),
    ("mov r12d, 2", "41 bc 02 00 00 00"),  # step 2
    ("mov edi, eax", "89 c7"),
    ("mov eax, 1", "b8 01 00 00 00"),  # write
    ("mov esi, OFFSET label", "be &label:4"),
    ("mov edx, OFFSET label_length", "ba label_length:4"),
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("js failed", "?78 failed"),
]

# Say that the exec comes next.
_ANNOUNCE = [
    ("mov eax, 1", "b8 01 00 00 00"),  # write
    ("mov edi, OFFSET reply", "bf reply:4"),
    ("mov esi, OFFSET letter", "be &letter:4"),
    ("mov edx, 1", "ba 01 00 00 00"),
    ("syscall", "0f 05"),
]


def _close_at_exec(name: str) -> "Rows":
    """fcntl, since filters that know no close_range are common."""
    return [
        ("mov eax, 72", "b8 48 00 00 00"),  # fcntl
        (f"mov edi, OFFSET {name}", f"bf {name}:4"),
        ("mov esi, 2", "be 02 00 00 00"),  # F_SETFD
        ("mov edx, 1", "ba 01 00 00 00"),  # FD_CLOEXEC
        ("syscall", "0f 05"),
    ]


_FILTER = [
    ("mov r12d, 3", "41 bc 03 00 00 00"),  # step 3
    ("mov eax, 317", "b8 3d 01 00 00"),  # seccomp
    ("mov edi, 1", "bf 01 00 00 00"),  # SECCOMP_SET_MODE_FILTER
    ("mov esi, OFFSET flags", "be flags:4"),
    ("mov edx, OFFSET program", "ba &program:4"),
    ("syscall", "0f 05"),
    ("test eax, eax", "85 c0"),
    ("js failed", "?78 failed"),
]


def _prctl(option: int, bit: int) -> "Rows":
    """PR_CAP_AMBIENT with its own option, and zeroes where the kernel wants them."""
    return [
        ("mov eax, 157", "b8 9d 00 00 00"),  # prctl
        ("mov edi, 47", "bf 2f 00 00 00"),  # PR_CAP_AMBIENT
        (f"mov esi, {option}", f"be {option:02x} 00 00 00"),
        (f"mov edx, {bit}", f"ba {bit:02x} 00 00 00"),
        ("xor r10d, r10d", "45 31 d2"),
        ("xor r8d, r8d", "45 31 c0"),
        ("syscall", "0f 05"),
        ("test eax, eax", "85 c0"),
        ("js failed", "?78 failed"),
    ]


def _capabilities(ambient: int) -> "Rows":
    rows = [("mov r12d, 5", "41 bc 05 00 00 00"), *_prctl(4, 0)]  # step 5; PR_CAP_AMBIENT_CLEAR_ALL
    rows += [
        ("mov eax, 126", "b8 7e 00 00 00"),  # capset
        ("mov edi, OFFSET header", "bf &header:4"),
        ("mov esi, OFFSET sets", "be &sets:4"),
        ("syscall", "0f 05"),
        ("test eax, eax", "85 c0"),
        ("js failed", "?78 failed"),
    ]
    for bit in range(ambient.bit_length()):
        if ambient >> bit & 1:
            rows += _prctl(2, bit)  # PR_CAP_AMBIENT_RAISE
    return rows


_EXECUTE = [
    ("mov r12d, 4", "41 bc 04 00 00 00"),  # step 4
    ("mov eax, 59", "b8 3b 00 00 00"),  # execve
    ("mov rdi, [rsp+16]", "48 8b 7c 24 10"),  # argv[1]
    ("lea rsi, [rsp+24]", "48 8d 74 24 18"),  # argv + 2
    ("mov rdx, [rsp]", "48 8b 14 24"),  # argc
    ("lea rdx, [rsp+rdx*8+16]", "48 8d 54 d4 10"),  # behind argv and its null: envp
    ("syscall", "0f 05"),
    ("failed:", ""),
    ("neg eax", "f7 d8"),
    ("shl r12d, 24", "41 c1 e4 18"),
    ("or eax, r12d", "44 09 e0"),
    ("mov [rsp-16], eax", "89 44 24 f0"),
    ("mov eax, 1", "b8 01 00 00 00"),  # write
    ("mov edi, OFFSET reply", "bf reply:4"),
    ("lea rsi, [rsp-16]", "48 8d 74 24 f0"),
    ("mov edx, 4", "ba 04 00 00 00"),
    ("syscall", "0f 05"),
    ("quit:", ""),
    ("mov eax, 231", "b8 e7 00 00 00"),  # exit_group
    ("mov edi, 127", "bf 7f 00 00 00"),
    ("syscall", "0f 05"),
    ("hlt", "f4"),  # a filter may deny even exit_group: then the processor ends it
]


#: The handler: exit_group(128 + SIGTERM).
TERMINATED = bytes.fromhex("bf 8f 00 00 00 b8 e7 00 00 00 0f 05")


def rows(needs: "Needs") -> "Rows":
    """The instructions for these needs."""
    found = [*_TERMINATE, *_WAIT] if needs.go >= 0 else []
    if needs.label:
        found += _LABEL
    found += _ANNOUNCE
    for name in needs.descriptors():
        found += _close_at_exec(name)
    if needs.capabilities is not None:
        found += _capabilities(needs.capabilities[3])
    if needs.program:
        found += _FILTER
    if needs.init:
        from railcar.stub import init

        found += init.x86_64(needs.descriptors())
    return found + _EXECUTE
