"""Rows of (assembly text, encoding) to bytes. The text is what binutils would be given: a test compares the two.

An encoding is words of two hex digits, or `NAME:4` (a symbol, four bytes), `&NAME:4` (the address of data, four
bytes). `?XX NAME` is x86's conditional jump with that short opcode, which grows when the label is too far.
Fixed-width instructions are `=HEX` with at most one field: `NAME<<5` (a symbol at that bit), `@NAME` (a branch of
19 bits at bit 5), `&NAME` (adr). A row whose text ends with a colon is a label.
"""

Rows = list[tuple[str, str]]


def assemble(rows: Rows, symbols: dict[str, int], addresses: dict[str, int], origin: int) -> bytes:
    """The machine code of `rows` at address `origin`; `addresses` is where data lies."""
    places, far = _layout(rows)
    code = bytearray()
    for number, (text, encoding) in enumerate(rows):
        if text.endswith(":"):
            continue
        if encoding.startswith("="):
            code += _word(encoding, symbols, addresses, places, len(code), origin).to_bytes(4, "little")
        elif encoding.startswith("?"):
            opcode, _, label = encoding[1:].partition(" ")
            distance = places[label] - len(code) - _size(encoding, number in far)
            if number in far:
                code += bytes((0x0F, int(opcode, 16) + 0x10)) + distance.to_bytes(4, "little", signed=True)
            else:
                code += bytes((int(opcode, 16),)) + distance.to_bytes(1, "little", signed=True)
        else:
            for token in encoding.split():
                if token.startswith("&"):
                    code += addresses[token[1:-2]].to_bytes(4, "little")
                elif token.endswith(":4"):
                    code += symbols[token[:-2]].to_bytes(4, "little")
                else:
                    code.append(int(token, 16))
    return bytes(code)


def size(rows: Rows) -> int:
    """The number of bytes that `rows` assemble to."""
    _, far = _layout(rows)
    return sum(_size(encoding, number in far) for number, (_, encoding) in enumerate(rows))


def _size(encoding: str, far: bool) -> int:
    if encoding.startswith("="):
        return 4
    if encoding.startswith("?"):
        return 6 if far else 2
    return sum(4 if token.endswith(":4") else 1 for token in encoding.split())


def _layout(rows: Rows) -> tuple[dict[str, int], set[int]]:
    """Where the labels are, and which jumps need the long form: all are short first, and grow until none is too far."""
    far: set[int] = set()
    while True:
        places: dict[str, int] = {}
        ends: list[tuple[int, int, str]] = []
        position = 0
        for number, (text, encoding) in enumerate(rows):
            if text.endswith(":"):
                places[text[:-1]] = position
            position += _size(encoding, number in far)
            if encoding.startswith("?"):
                ends.append((number, position, encoding.partition(" ")[2]))
        grown = {number for number, end, label in ends if not -128 <= places[label] - end <= 127}
        if grown <= far:
            return places, far
        far |= grown


def _word(
    encoding: str,
    symbols: dict[str, int],
    addresses: dict[str, int],
    places: dict[str, int],
    position: int,
    origin: int,
) -> int:
    base, _, field = encoding[1:].partition(" ")
    word = int(base, 16)
    if field.startswith("@"):
        word |= (((places[field[1:]] - position) >> 2) & 0x7FFFF) << 5
    elif field.startswith("&"):
        distance = addresses[field[1:]] - (origin + position)
        word |= (distance & 3) << 29 | ((distance >> 2) & 0x7FFFF) << 5
    elif field:
        name, _, shift = field.partition("<<")
        word |= (symbols[name] & 0xFFFF) << int(shift)
    return word
