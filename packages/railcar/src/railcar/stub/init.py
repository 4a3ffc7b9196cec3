"""The stub as a small init: it makes a child, which executes the program, and stays as process 1 itself.

All signals are blocked in it, and fetched one by one: SIGCHLD makes it reap, every other goes to the child. It ends
as the child does: with its exit code, 128 + N after signal N. The child is a process group of its own, in the
foreground of the terminal, so that what is typed there comes to it once. Filters have to allow clone, rt_sigprocmask,
rt_sigtimedwait, wait4 and kill.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.stub.assembler import Rows


def x86_64(descriptors: list[str]) -> "Rows":
    """rsp is as at entry, and stays. r13 holds the child's pid. `descriptors` are closed in the init."""
    found = [
        ("mov eax, 157", "b8 9d 00 00 00"),  # prctl
        ("mov edi, 36", "bf 24 00 00 00"),  # PR_SET_CHILD_SUBREAPER: without a pid namespace orphans come here as well
        ("mov esi, 1", "be 01 00 00 00"),  # on
        ("syscall", "0f 05"),
        ("or qword ptr [rsp-16], -1", "48 83 4c 24 f0 ff"),  # every signal, in scratch below the stack
        *_mask_x86_64(),
        ("mov r12d, 6", "41 bc 06 00 00 00"),  # step 6
        ("mov eax, 56", "b8 38 00 00 00"),  # clone
        ("mov edi, 17", "bf 11 00 00 00"),  # SIGCHLD at its end
        ("xor esi, esi", "31 f6"),  # the same stack, in a copy
        ("xor edx, edx", "31 d2"),
        ("xor r10d, r10d", "45 31 d2"),
        ("xor r8d, r8d", "45 31 c0"),
        ("syscall", "0f 05"),
        ("test eax, eax", "85 c0"),
        ("js failed", "?78 failed"),
        ("je child", "?74 child"),
        ("mov r13d, eax", "41 89 c5"),
    ]
    for name in descriptors:
        found += [
            ("mov eax, 3", "b8 03 00 00 00"),  # close: `start` listens until the last writer is gone
            (f"mov edi, OFFSET {name}", f"bf {name}:4"),
            ("syscall", "0f 05"),
        ]
    return [
        *found,
        ("fetch:", ""),
        ("mov eax, 128", "b8 80 00 00 00"),  # rt_sigtimedwait
        ("lea rdi, [rsp-16]", "48 8d 7c 24 f0"),  # every signal
        ("xor esi, esi", "31 f6"),  # no siginfo
        ("xor edx, edx", "31 d2"),  # no timeout
        ("mov r10d, 8", "41 ba 08 00 00 00"),  # size of the set
        ("syscall", "0f 05"),
        ("cmp eax, -4", "83 f8 fc"),  # EINTR: stopped and continued
        ("je fetch", "?74 fetch"),
        ("test eax, eax", "85 c0"),
        ("js quit", "?78 quit"),  # a filter denies it: better the end than a loop
        ("cmp eax, 17", "83 f8 11"),  # SIGCHLD
        ("je reap", "?74 reap"),
        ("mov esi, eax", "89 c6"),  # the signal
        ("mov eax, 62", "b8 3e 00 00 00"),  # kill
        ("mov edi, r13d", "44 89 ef"),  # the child
        ("syscall", "0f 05"),
        ("xor eax, eax", "31 c0"),  # sets the zero flag
        ("je fetch", "?74 fetch"),
        ("reap:", ""),
        ("mov eax, 61", "b8 3d 00 00 00"),  # wait4
        ("mov edi, 0xffffffff", "bf ff ff ff ff"),  # any child
        ("lea rsi, [rsp-8]", "48 8d 74 24 f8"),  # its status
        ("mov edx, 1", "ba 01 00 00 00"),  # WNOHANG
        ("xor r10d, r10d", "45 31 d2"),  # no rusage
        ("syscall", "0f 05"),
        ("test eax, eax", "85 c0"),
        ("js fetch", "?78 fetch"),
        ("je fetch", "?74 fetch"),  # no more to reap
        ("cmp eax, r13d", "44 39 e8"),
        ("jne reap", "?75 reap"),  # an orphan: the next
        ("mov edi, [rsp-8]", "8b 7c 24 f8"),
        ("mov eax, edi", "89 f8"),
        ("shr edi, 8", "c1 ef 08"),  # the exit code
        ("and eax, 127", "83 e0 7f"),  # the signal
        ("je ended", "?74 ended"),
        ("lea edi, [rax+128]", "8d b8 80 00 00 00"),
        ("ended:", ""),
        ("mov eax, 231", "b8 e7 00 00 00"),  # exit_group
        ("syscall", "0f 05"),
        ("hlt", "f4"),
        ("child:", ""),
        ("mov eax, 39", "b8 27 00 00 00"),  # getpid
        ("syscall", "0f 05"),
        ("mov [rsp-8], eax", "89 44 24 f8"),
        ("mov eax, 109", "b8 6d 00 00 00"),  # setpgid
        ("xor edi, edi", "31 ff"),  # of this process
        ("xor esi, esi", "31 f6"),  # to one of its own
        ("syscall", "0f 05"),
        ("mov eax, 16", "b8 10 00 00 00"),  # ioctl
        ("xor edi, edi", "31 ff"),  # standard input: if it is no terminal of ours this fails, and may
        ("mov esi, 0x5410", "be 10 54 00 00"),  # TIOCSPGRP
        ("lea rdx, [rsp-8]", "48 8d 54 24 f8"),
        ("syscall", "0f 05"),
        ("and qword ptr [rsp-16], 0", "48 83 64 24 f0 00"),  # no signal
        *_mask_x86_64(),
    ]


def _mask_x86_64() -> "Rows":
    return [
        ("mov eax, 14", "b8 0e 00 00 00"),  # rt_sigprocmask
        ("mov edi, 2", "bf 02 00 00 00"),  # SIG_SETMASK
        ("lea rsi, [rsp-16]", "48 8d 74 24 f0"),
        ("xor edx, edx", "31 d2"),  # the old set is not asked for
        ("mov r10d, 8", "41 ba 08 00 00 00"),  # size of the set
        ("syscall", "0f 05"),
    ]


def aarch64(descriptors: list[str]) -> "Rows":
    """sp is as at entry, and stays. w19 holds the child's pid. `descriptors` are closed in the init."""
    found = [
        ("movz w0, #36", "=52800480"),  # PR_SET_CHILD_SUBREAPER: without a pid namespace orphans come here as well
        ("movz w1, #1", "=52800021"),  # on
        ("movz w8, #167", "=528014e8"),  # prctl
        ("svc #0", "=d4000001"),
        ("movn x0, #0", "=92800000"),  # every signal
        *_mask_aarch64(),
        ("movz w20, #6", "=528000d4"),  # step 6
        ("movz w0, #17", "=52800220"),  # SIGCHLD at its end
        ("movz x1, #0", "=d2800001"),  # the same stack, in a copy
        ("movz x2, #0", "=d2800002"),
        ("movz x3, #0", "=d2800003"),
        ("movz x4, #0", "=d2800004"),
        ("movz w8, #220", "=52801b88"),  # clone
        ("svc #0", "=d4000001"),
        ("cmp w0, #0", "=7100001f"),
        ("b.lt failed", "=5400000b @failed"),
        ("b.eq child", "=54000000 @child"),
        ("orr w19, wzr, w0", "=2a0003f3"),
    ]
    for name in descriptors:
        found += [
            (f"movz w0, #{name}", f"=52800000 {name}<<5"),
            ("movz w8, #57", "=52800728"),  # close: `start` listens until the last writer is gone
            ("svc #0", "=d4000001"),
        ]
    return [
        *found,
        ("fetch:", ""),
        ("sub x0, sp, #16", "=d10043e0"),  # every signal
        ("movz x1, #0", "=d2800001"),  # no siginfo
        ("movz x2, #0", "=d2800002"),  # no timeout
        ("movz w3, #8", "=52800103"),  # size of the set
        ("movz w8, #137", "=52801128"),  # rt_sigtimedwait
        ("svc #0", "=d4000001"),
        ("cmn w0, #4", "=3100101f"),  # EINTR: stopped and continued
        ("b.eq fetch", "=54000000 @fetch"),
        ("cmp w0, #0", "=7100001f"),
        ("b.lt quit", "=5400000b @quit"),  # a filter denies it: better the end than a loop
        ("cmp w0, #17", "=7100441f"),  # SIGCHLD
        ("b.eq reap", "=54000000 @reap"),
        ("orr w1, wzr, w0", "=2a0003e1"),  # the signal
        ("orr w0, wzr, w19", "=2a1303e0"),  # the child
        ("movz w8, #129", "=52801028"),  # kill
        ("svc #0", "=d4000001"),
        ("b.al fetch", "=5400000e @fetch"),
        ("reap:", ""),
        ("movn w0, #0", "=12800000"),  # any child
        ("sub x1, sp, #8", "=d10023e1"),  # its status
        ("movz w2, #1", "=52800022"),  # WNOHANG
        ("movz x3, #0", "=d2800003"),  # no rusage
        ("movz w8, #260", "=52802088"),  # wait4
        ("svc #0", "=d4000001"),
        ("cmp w0, #0", "=7100001f"),
        ("b.le fetch", "=5400000d @fetch"),  # no more to reap
        ("cmp w0, w19", "=6b13001f"),
        ("b.ne reap", "=54000001 @reap"),  # an orphan: the next
        ("ldur w0, [sp, #-8]", "=b85f83e0"),
        ("ands w1, w0, #0x7f", "=72001801"),  # the signal
        ("lsr w0, w0, #8", "=53087c00"),  # the exit code
        ("b.eq ended", "=54000000 @ended"),
        ("add w0, w1, #128", "=11020020"),
        ("ended:", ""),
        ("movz w8, #94", "=52800bc8"),  # exit_group
        ("svc #0", "=d4000001"),
        ("udf #0", "=00000000"),
        ("child:", ""),
        ("movz w8, #172", "=52801588"),  # getpid
        ("svc #0", "=d4000001"),
        ("stur w0, [sp, #-8]", "=b81f83e0"),
        ("movz w0, #0", "=52800000"),  # of this process
        ("movz w1, #0", "=52800001"),  # to one of its own
        ("movz w8, #154", "=52801348"),  # setpgid
        ("svc #0", "=d4000001"),
        ("movz w0, #0", "=52800000"),  # standard input: if it is no terminal of ours this fails, and may
        ("movz w1, #0x5410", "=528a8201"),  # TIOCSPGRP
        ("sub x2, sp, #8", "=d10023e2"),
        ("movz w8, #29", "=528003a8"),  # ioctl
        ("svc #0", "=d4000001"),
        ("movz x0, #0", "=d2800000"),  # no signal
        *_mask_aarch64(),
    ]


def _mask_aarch64() -> "Rows":
    return [
        ("stur x0, [sp, #-16]", "=f81f03e0"),  # scratch below the stack
        ("movz w0, #2", "=52800040"),  # SIG_SETMASK
        ("sub x1, sp, #16", "=d10043e1"),
        ("movz x2, #0", "=d2800002"),  # the old set is not asked for
        ("movz w3, #8", "=52800103"),  # size of the set
        ("movz w8, #135", "=528010e8"),  # rt_sigprocmask
        ("svc #0", "=d4000001"),
    ]
