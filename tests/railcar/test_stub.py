"""The stub: its bytes are what binutils makes of its text, and it does what it promises."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from railcar import stub
from railcar.snapshot import restorer
from railcar.stub import elf
from railcar.stub.assembler import assemble, size

NEEDS = {
    "create": stub.Needs(go=5, reply=6),
    "create-filter": stub.Needs(go=5, reply=6, program=b"\x06\0\0\0\0\0\xff\x7f", flags=2),
    "all": stub.Needs(go=9, reply=10, proc=8, label=b"exec container", program=bytes(16), flags=4),
    "caps": stub.Needs(go=5, reply=6, program=bytes(8), capabilities=(1 << 40, 1 << 40 | 7, 2, 0b10_0000_0001)),
    "init": stub.Needs(go=5, reply=6, init=True),
    "init-all": stub.Needs(go=9, reply=10, proc=8, label=b"exec container", program=bytes(16), init=True),
    "exec": stub.Needs(go=-1, reply=300),
    "exec-label": stub.Needs(go=-1, reply=4, proc=5, label=b"system_u:object_r:x:s0", program=bytes(8)),
}
TOOLS = {"x86_64": ("as", "objcopy"), "aarch64": ("aarch64-linux-gnu-as", "aarch64-linux-gnu-objcopy")}


def by_binutils(
    rows: list[tuple[str, str]],
    symbols: dict[str, int],
    data: list[str],
    machine: str,
    at: Path,
    base: int = elf.BASE,
) -> bytes:
    """What `as` makes of the same text, with data where the ELF writer puts it."""
    assembler, objcopy = TOOLS[machine]
    if not (shutil.which(assembler) and shutil.which(objcopy)):
        pytest.skip(f"{assembler} is not installed")
    lines = [".intel_syntax noprefix"] if machine == "x86_64" else []
    lines += [f".set {name}, {value}" for name, value in symbols.items()]
    lines += [text for text, _ in rows]
    lines += [f".balign 8, 0\n{name}: .space {length}" for name, length in (entry.split("=") for entry in data)]
    source, output, flat = at / "stub.s", at / "stub.o", at / "stub.bin"
    source.write_text("\n".join(lines) + "\n")
    subprocess.run([assembler, "-o", output, source], check=True)
    linked = at / "stub.elf"
    linker = assembler.removesuffix("as") + "ld"
    start = hex(base + 120)
    subprocess.run([linker, "-Ttext", start, "-e", start, "-o", linked, output], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", linked, flat], check=True)
    return flat.read_bytes()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", NEEDS)
def test_bytes_are_those_of_binutils(name: str, machine: str, tmp_path: Path) -> None:
    needs = NEEDS[name]
    rows = stub.rows(needs, machine)
    lengths = {"program": 16, "filter": len(needs.program), "letter": 1}
    lengths["terminated"] = 16
    lengths |= {"attribute": len(needs.attribute) + 1, "label": len(needs.label)}
    lengths |= {"header": 8, "sets": 24} if needs.capabilities else {"header": 0, "sets": 0}
    place = elf.BASE + 120 + size(rows)
    addresses = {}
    for key, length in lengths.items():
        place = (place + 7) & ~7
        addresses[key] = place
        place += length
    ours = assemble(rows, stub.symbols(needs), addresses, elf.BASE + 120)
    theirs = by_binutils(rows, stub.symbols(needs), [f"{k}={v}" for k, v in lengths.items()], machine, tmp_path)
    assert ours.hex(" ") == theirs[: len(ours)].hex(" ")


def test_bytes_of_the_restorer_are_those_of_binutils(tmp_path: Path) -> None:
    """The program that maps a snapshot."""
    place, addresses = restorer.BASE + 120 + size(restorer.ROWS), {}
    for key in restorer.TABLES:
        addresses[key] = place = (place + 7) & ~7
        place += 40
    ours = assemble(restorer.ROWS, {}, addresses, restorer.BASE + 120)
    data = [f"{key}=40" for key in restorer.TABLES]
    theirs = by_binutils(restorer.ROWS, {}, data, "x86_64", tmp_path, restorer.BASE)
    assert ours.hex(" ") == theirs[: len(ours)].hex(" ")


def start_stub(
    needs: stub.Needs, argv: list[str], environment: dict[str, str], **streams: int
) -> subprocess.Popen[bytes]:
    """Become the stub in a child, which inherits the descriptors of `needs` under their numbers."""
    image = stub.executable(stub.image(needs))
    kept = [getattr(needs, name) for name in needs.descriptors()]
    path = f"/proc/{os.getpid()}/fd/{image}"
    child = subprocess.Popen(argv, executable=path, env=environment, pass_fds=kept, **streams)  # type: ignore[call-overload]
    os.close(image)
    return child


needs_stub = pytest.mark.skipif(not stub.supported(), reason="no stub for this architecture")


@needs_stub
def test_stub_waits_announces_and_executes() -> None:
    go, go_write = os.pipe()
    reply, reply_write = os.pipe()
    argv = ["railcar", "/bin/sh", "name", "-c", 'echo "$0 $A"; ls /proc/self/fd | tr "\\n" " "']
    needs = stub.Needs(go=go, reply=reply_write)
    child = start_stub(needs, argv, {"A": "1", "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE)
    os.close(reply_write)
    os.set_blocking(reply, False)
    with pytest.raises(BlockingIOError):
        os.read(reply, 10)
    os.set_blocking(reply, True)
    os.write(go_write, b"x")
    assert os.read(reply, 10) == stub.ANNOUNCED
    assert os.read(reply, 10) == b"", "the reply channel closes by the exec"
    said, _ = child.communicate(timeout=60)
    assert said.decode() == "name 1\n0 1 2 3 "
    assert child.returncode == 0
    for descriptor in (go, go_write, reply):
        os.close(descriptor)


@needs_stub
@pytest.mark.parametrize(
    ("wanted", "path", "step", "errno"),
    [
        ({}, "/no/such", "execute the program", 2),
        ({}, "/etc", "execute the program", 13),
        ({"program": b"\xff" * 8}, "/bin/true", "load the seccomp filter", None),
        ({"label": b"x"}, "/bin/true", "open the LSM attribute", 20),
    ],
)
def test_stub_reports_step_and_errno(wanted: dict[str, bytes], path: str, step: str, errno: int | None) -> None:
    reply, reply_write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    needs = stub.Needs(go=-1, reply=reply_write, proc=null if "label" in wanted else -1, **wanted)  # type: ignore[arg-type]
    child = start_stub(needs, ["railcar", path, path], {})
    os.close(reply_write)
    os.close(null)
    said = b""
    while piece := os.read(reply, 100):
        said += piece
    os.close(reply)
    found = stub.failure(said)
    assert found is not None
    assert found[0] == step
    assert errno is None or found[1] == errno
    assert child.wait(timeout=60) == 127


def test_stub_is_small_and_sealed() -> None:
    data = stub.image(NEEDS["create"], "x86_64")
    assert len(data) < 600
    descriptor = stub.executable(data)
    with pytest.raises(OSError):
        os.write(descriptor, b"x")
    with pytest.raises(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)
