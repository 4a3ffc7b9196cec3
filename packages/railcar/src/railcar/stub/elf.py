"""The smallest ELF file that the kernel starts: one header, one segment that is read and executed. elf(5)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from railcar.stub.assembler import Rows

BASE = 0x400000
_HEADERS = 64 + 56
_MACHINES = {"x86_64": 62, "aarch64": 183}


def file(
    assemble: "Callable[[Rows, dict[str, int], dict[str, int], int], bytes]",
    rows: "Rows",
    symbols: dict[str, int],
    data: dict[str, bytes],
    machine: str,
    base: int = BASE,
) -> bytes:
    """The file: headers, code, then each of `data`, aligned to eight bytes. "program" gets the address of "filter"."""
    from railcar.stub.assembler import size

    origin = base + _HEADERS
    position = origin + size(rows)
    addresses: dict[str, int] = {}
    for name, content in data.items():
        position = (position + 7) & ~7
        addresses[name] = position
        position += len(content)
    body = bytearray(assemble(rows, symbols, addresses, origin))
    for name, content in data.items():
        body += bytes(addresses[name] - origin - len(body))
        if name == "program":
            content = content[:8] + addresses["filter"].to_bytes(8, "little")
        body += content
    total = _HEADERS + len(body)
    return _header(machine, origin) + _segment(total, base) + bytes(body)


def _numbers(*pairs: tuple[int, int]) -> bytes:
    return b"".join(value.to_bytes(width, "little") for value, width in pairs)


def _header(machine: str, entry: int) -> bytes:
    identification = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)  # 64 bit, little endian, version 1, System V
    return identification + _numbers(
        (2, 2),  # ET_EXEC: addresses are fixed
        (_MACHINES[machine], 2),
        (1, 4),
        (entry, 8),
        (64, 8),  # the program header follows
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
    )


def _segment(size: int, base: int) -> bytes:
    # PT_LOAD, read and execute, the file from its start; 64 KiB alignment suits every page size of aarch64
    return _numbers((1, 4), (5, 4), (0, 8), (base, 8), (base, 8), (size, 8), (size, 8), (0x10000, 8))
