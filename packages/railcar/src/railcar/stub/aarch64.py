"""The stub for aarch64. At entry sp points at argc, argv[0], argv[1] (the program's path), argv[2:], 0, envp, 0."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.stub import Needs
    from railcar.stub.assembler import Rows

# As process 1 it would not die of SIGTERM without a handler: one that ends it, until the exec takes it away.
_TERMINATE = [
    ("adr x0, terminated", "=10000000 &terminated"),
    ("stp x0, xzr, [sp, #-32]!", "=a9be7fe0"),  # struct sigaction: the handler, no flags
    ("stp xzr, xzr, [sp, #16]", "=a9017fff"),
    ("movz w0, #15", "=528001e0"),  # SIGTERM
    ("add x1, sp, #0", "=910003e1"),
    ("movz x2, #0", "=d2800002"),
    ("movz w3, #8", "=52800103"),
    ("movz w8, #134", "=528010c8"),  # rt_sigaction
    ("svc #0", "=d4000001"),
    ("add sp, sp, #32", "=910083ff"),
]

_WAIT = [
    ("wait:", ""),
    ("movz w0, #go", "=52800000 go<<5"),
    ("sub x1, sp, #16", "=d10043e1"),  # scratch below the stack: the one handler does not return
    ("movz w2, #1", "=52800022"),
    ("movz w8, #63", "=528007e8"),  # read
    ("svc #0", "=d4000001"),
    ("cmn x0, #4", "=b100101f"),  # EINTR
    ("b.eq wait", "=54000000 @wait"),
    ("cmp x0, #1", "=f100041f"),
    ("b.ne quit", "=54000001 @quit"),
]

# The label counts for the next exec, and the kernel takes it only from the process that opened the file.
_LABEL = [
    ("movz w20, #1", "=52800034"),  # step 1
    ("movz w0, #proc", "=52800000 proc<<5"),
    ("adr x1, attribute", "=10000001 &attribute"),
    ("movz w2, #1", "=52800022"),  # O_WRONLY
    ("movk w2, #8, lsl #16", "=72a00102"),  # O_CLOEXEC
    ("movz w8, #56", "=52800708"),  # openat
    ("svc #0", "=d4000001"),
    ("cmp w0, #0", "=7100001f"),
    ("b.lt failed", "=5400000b @failed"),
    ("movz w20, #2", "=52800054"),  # step 2
    ("adr x1, label", "=10000001 &label"),
    ("movz w2, #label_length", "=52800002 label_length<<5"),
    ("movz w8, #64", "=52800808"),  # write
    ("svc #0", "=d4000001"),
    ("cmp w0, #0", "=7100001f"),
    ("b.lt failed", "=5400000b @failed"),
]

# Say that the exec comes next.
_ANNOUNCE = [
    ("movz w0, #reply", "=52800000 reply<<5"),
    ("adr x1, letter", "=10000001 &letter"),
    ("movz w2, #1", "=52800022"),
    ("movz w8, #64", "=52800808"),  # write
    ("svc #0", "=d4000001"),
]


def _close_at_exec(name: str) -> "Rows":
    """fcntl, since filters that know no close_range are common."""
    return [
        (f"movz w0, #{name}", f"=52800000 {name}<<5"),
        ("movz w1, #2", "=52800041"),  # F_SETFD
        ("movz w2, #1", "=52800022"),  # FD_CLOEXEC
        ("movz w8, #25", "=52800328"),  # fcntl
        ("svc #0", "=d4000001"),
    ]


_FILTER = [
    ("movz w20, #3", "=52800074"),  # step 3
    ("movz w0, #1", "=52800020"),  # SECCOMP_SET_MODE_FILTER
    ("movz w1, #flags", "=52800001 flags<<5"),
    ("adr x2, program", "=10000002 &program"),
    ("movz w8, #277", "=528022a8"),  # seccomp
    ("svc #0", "=d4000001"),
    ("cmp w0, #0", "=7100001f"),
    ("b.lt failed", "=5400000b @failed"),
]


def _prctl(option: int, bit: int) -> "Rows":
    """PR_CAP_AMBIENT with its own option, and zeroes where the kernel wants them."""
    return [
        ("movz w0, #47", "=528005e0"),  # PR_CAP_AMBIENT
        (f"movz w1, #{option}", f"={0x52800001 | option << 5:08x}"),
        (f"movz w2, #{bit}", f"={0x52800002 | bit << 5:08x}"),
        ("movz w3, #0", "=52800003"),
        ("movz w4, #0", "=52800004"),
        ("movz w8, #167", "=528014e8"),  # prctl
        ("svc #0", "=d4000001"),
        ("cmp w0, #0", "=7100001f"),
        ("b.lt failed", "=5400000b @failed"),
    ]


def _capabilities(ambient: int) -> "Rows":
    rows = [("movz w20, #5", "=528000b4"), *_prctl(4, 0)]  # step 5; PR_CAP_AMBIENT_CLEAR_ALL
    rows += [
        ("adr x0, header", "=10000000 &header"),
        ("adr x1, sets", "=10000001 &sets"),
        ("movz w8, #91", "=52800b68"),  # capset
        ("svc #0", "=d4000001"),
        ("cmp w0, #0", "=7100001f"),
        ("b.lt failed", "=5400000b @failed"),
    ]
    for bit in range(ambient.bit_length()):
        if ambient >> bit & 1:
            rows += _prctl(2, bit)  # PR_CAP_AMBIENT_RAISE
    return rows


_EXECUTE = [
    ("movz w20, #4", "=52800094"),  # step 4
    ("ldr x0, [sp, #16]", "=f9400be0"),  # argv[1]
    ("add x1, sp, #24", "=910063e1"),  # argv + 2
    ("ldr x2, [sp]", "=f94003e2"),  # argc
    ("add x2, sp, x2, lsl #3", "=8b226fe2"),
    ("add x2, x2, #16", "=91004042"),  # behind argv and its null: envp
    ("movz w8, #221", "=52801ba8"),  # execve
    ("svc #0", "=d4000001"),
    ("failed:", ""),
    ("neg w0, w0", "=4b0003e0"),
    ("lsl w20, w20, #24", "=53081e94"),
    ("orr w0, w0, w20", "=2a140000"),
    ("stur w0, [sp, #-16]", "=b81f03e0"),
    ("movz w0, #reply", "=52800000 reply<<5"),
    ("sub x1, sp, #16", "=d10043e1"),
    ("movz w2, #4", "=52800082"),
    ("movz w8, #64", "=52800808"),  # write
    ("svc #0", "=d4000001"),
    ("quit:", ""),
    ("movz w0, #127", "=52800fe0"),
    ("movz w8, #94", "=52800bc8"),  # exit_group
    ("svc #0", "=d4000001"),
    ("udf #0", "=00000000"),  # a filter may deny even exit_group: then the processor ends it
]


#: The handler: exit_group(128 + SIGTERM).
TERMINATED = b"".join(word.to_bytes(4, "little") for word in (0x528011E0, 0x52800BC8, 0xD4000001))


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

        found += init.aarch64(needs.descriptors())
    return found + _EXECUTE
