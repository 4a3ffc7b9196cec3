"""Where everything is in a tar: headers alone are read, file data never.

Follows POSIX.1-2017 pax, ustar, and GNU's long names, base-256 numbers and sparse files (tar(5)).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from smith.content import Content, SparseContent
from smith.errors import InputError

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""A pax or GNU long-name record over 1 MiB is an attack, not a name."""
MAX_PIECES = 100_000

_REGULAR = b"0\x007"
_EMPTY = bytes(BLOCK)


@dataclass(slots=True)
class Member:
    """One entry. `kind` is tar's type letter (0 regular, 1 hard link, 2 symlink, 3 to 6 char, block, dir, fifo).

    `offset` is where its data starts and `stored` how many bytes lie there; `size` is the file's, larger when sparse.
    """

    name: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    stored: int
    offset: int
    mtime: int
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    pieces: list[tuple[int, int, int]] | None = None


def members(content: Content, what: str) -> Iterator[Member]:
    """Every member of the tar in `content`, in order; `what` names it in errors.

    InputError for a broken header, a member that runs past the end, or a missing end.
    """
    return _Parser(content, what).run()


class _Parser:
    def __init__(self, content: Content, what: str) -> None:
        self.content = content
        self.what = what
        self.position = 0
        self.shared: dict[int, int] = {}

    def bad(self, text: str) -> InputError:
        return InputError(f"{self.what} is a broken tar: {text}")

    def run(self) -> Iterator[Member]:
        end, read = self.content.size, self.content.read_at
        common: dict[str, bytes] = {}
        own: dict[str, bytes] = {}
        long_name = long_target = None
        seen = False
        while self.position < end:
            header = read(self.position, BLOCK)
            if len(header) < BLOCK:
                raise self.bad(f"it is cut off inside the header at byte {self.position}")
            if header == _EMPTY:
                return
            self.check_sum(header)
            start = self.position + BLOCK
            kind = header[156:157]
            stored = self.number(header[124:136], "size")
            if kind in (b"x", b"g", b"L", b"K", b"X"):
                if stored > MAX_EXTENSION:
                    raise self.bad(f"an extended header of {stored} bytes at byte {self.position}")
                data = read(start, stored)
                if len(data) < stored:
                    raise self.bad(f"it is cut off inside the extended header at byte {self.position}")
                if kind == b"L":
                    long_name = data.rstrip(b"\0")
                elif kind == b"K":
                    long_target = data.rstrip(b"\0")
                elif kind == b"g":
                    common.update(self.records(data))
                else:
                    own = self.records(data)
                self.position = start + _padded(stored)
                continue
            member, self.position = self.member(header, start, stored, {**common, **own}, long_name, long_target)
            own, long_name, long_target = {}, None, None
            seen = True
            yield member
        if not seen and end == 0:
            raise self.bad("it is empty")

    def member(
        self,
        header: bytes,
        start: int,
        stored: int,
        pax: dict[str, bytes],
        long_name: bytes | None,
        long_target: bytes | None,
    ) -> tuple[Member, int]:
        kind = header[156:157]
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].split(b"\0", 1)[0] + b"/" + name
        target = header[157:257].split(b"\0", 1)[0]
        name = pax.get("path", long_name if long_name is not None else name)
        target = pax.get("linkpath", long_target if long_target is not None else target)
        if "size" in pax:
            stored = self.decimal(pax["size"], "size")
        if kind in b"123456" and kind:
            stored = 0
        size, pieces = stored, None
        after = start + _padded(stored)
        if kind == b"S":
            pieces, start, size = self.old_sparse(header, start)
            after = start + _padded(stored)
        elif "GNU.sparse.map" in pax or pax.get("GNU.sparse.major") == b"1":
            name = pax.get("GNU.sparse.name", name)
            size = self.decimal(pax.get("GNU.sparse.realsize", pax.get("GNU.sparse.size", b"")), "sparse size")
            pieces, skip = self.pax_sparse(pax, start, stored)
            start += skip
            stored -= skip
        if after > self.content.size and start + stored > self.content.size:
            raise self.bad(f"{_text(name)!r} has {stored} bytes, but the tar ends before them")
        if pieces is not None:
            self.check_pieces(pieces, size, stored, name)
        regular = kind in _REGULAR or kind in (b"S", b"")
        letter = "0" if regular else kind.decode("latin-1")
        if letter == "0" and name.endswith(b"/") and pieces is None:
            letter = "5"
        prefix = "SCHILY.xattr."
        return Member(
            name=_text(name),
            kind=letter,
            mode=self.one(self.number(header[100:108], "mode") & 0o7777),
            uid=self.decimal(pax["uid"], "uid") if "uid" in pax else self.number(header[108:116], "uid"),
            gid=self.decimal(pax["gid"], "gid") if "gid" in pax else self.number(header[116:124], "gid"),
            size=size,
            stored=stored,
            offset=start,
            mtime=self.one(self.time(pax["mtime"]) if "mtime" in pax else self.number(header[136:148], "time")),
            target=_text(target),
            device=(self.number(header[329:337], "device"), self.number(header[337:345], "device"))
            if letter in "34"
            else (0, 0),
            xattrs={key[len(prefix) :]: value for key, value in pax.items() if key.startswith(prefix)},
            pieces=pieces,
        ), after

    def check_sum(self, header: bytes) -> None:
        said = self.number(header[148:156], "checksum")
        blank = header[:148] + b" " * 8 + header[156:]
        if said != sum(blank) and said != sum(b - 256 if b > 127 else b for b in blank):
            raise self.bad(f"no header at byte {self.position} (wrong checksum)")

    def number(self, raw: bytes, what: str) -> int:
        if raw[0] & 0x80:
            value = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
            if raw[0] & 0x40 or value > 1 << 62:
                raise self.bad(f"the {what} at byte {self.position} is absurd")
            return value
        text = raw.split(b"\0", 1)[0].strip()
        if not text:
            return 0
        try:
            if text.isdigit():
                return int(text, 8)
        except ValueError:
            pass
        raise self.bad(f"the {what} at byte {self.position} is no number")

    def one(self, value: int) -> int:
        """The same object for the same number: of modes and times there are few, and 100,000 members."""
        return self.shared.setdefault(value, value)

    def time(self, raw: bytes) -> int:
        try:
            return int(float(raw))
        except (ValueError, OverflowError):
            raise self.bad(f"the time at byte {self.position} is no number") from None

    def decimal(self, raw: bytes, what: str) -> int:
        if not raw.isdigit() or len(raw) > 19:
            raise self.bad(f"the {what} at byte {self.position} is no number")
        return int(raw)

    def records(self, data: bytes) -> dict[str, bytes]:
        result: dict[str, bytes] = {}
        pieces: list[bytes] = []
        while data.strip(b"\0"):
            length, _, _ = data.partition(b" ")
            if not length.isdigit() or len(length) > 9 or not len(length) + 3 <= int(length) <= len(data):
                raise self.bad(f"the extended header at byte {self.position} is garbled")
            record, data = data[len(length) + 1 : int(length)], data[int(length) :]
            key, equal, value = record.partition(b"=")
            if not equal or value[-1:] != b"\n":
                raise self.bad(f"the extended header at byte {self.position} is garbled")
            name = key.decode("utf-8", "surrogateescape")
            if name in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
                pieces.append(value[:-1])
            result[name] = value[:-1]
        if pieces and "GNU.sparse.map" not in result:
            result["GNU.sparse.map"] = b",".join(pieces)
        return result

    def old_sparse(self, header: bytes, start: int) -> tuple[list[tuple[int, int, int]], int, int]:
        pairs = self.pairs(header[386:482], 4)
        size, more = self.number(header[483:495], "size"), header[482]
        while more:
            block = self.content.read_at(start, BLOCK)
            if len(block) < BLOCK or len(pairs) > MAX_PIECES:
                raise self.bad(f"the sparse map at byte {start} is cut off")
            pairs += self.pairs(block[:504], 21)
            more = block[504]
            start += BLOCK
        return _pieces(pairs), start, size

    def pairs(self, raw: bytes, count: int) -> list[tuple[int, int]]:
        result = []
        for index in range(count):
            entry = raw[24 * index : 24 * index + 24]
            if not entry[0]:
                break
            result.append((self.number(entry[:12], "sparse map"), self.number(entry[12:], "sparse map")))
        return result

    def pax_sparse(self, pax: dict[str, bytes], start: int, stored: int) -> tuple[list[tuple[int, int, int]], int]:
        skip = 0
        if "GNU.sparse.map" in pax:
            numbers = [self.decimal(part, "sparse map") for part in pax["GNU.sparse.map"].split(b",") if part]
        else:
            lines: list[bytes] = []
            rest = b""
            wanted = 1
            while len(lines) < wanted:
                block = self.content.read_at(start + skip, BLOCK) if skip < stored else b""
                if len(block) < BLOCK or wanted > 2 * MAX_PIECES:
                    raise self.bad(f"the sparse map at byte {start} is cut off")
                skip += BLOCK
                *whole, rest = (rest + block).split(b"\n")
                lines += whole
                if lines:
                    wanted = 1 + 2 * self.decimal(lines[0], "sparse map")
            numbers = [self.decimal(line, "sparse map") for line in lines[1:wanted]]
        return _pieces(list(zip(numbers[::2], numbers[1::2], strict=False))), skip

    def check_pieces(self, pieces: list[tuple[int, int, int]], size: int, stored: int, name: bytes) -> None:
        before = 0
        for begin, length, where in pieces:
            if begin < before or begin + length > size or where + length > stored:
                raise self.bad(f"the sparse map of {_text(name)!r} does not fit the file")
            before = begin + length


def data_of(member: Member, region: Content) -> Content:
    """The content of a regular member, `region` being its stored bytes."""
    return region if member.pieces is None else SparseContent(region, member.pieces, member.size)


def _pieces(pairs: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    result, where = [], 0
    for start, length in pairs:
        if length:
            result.append((start, length, where))
        where += length
    return result


def _padded(size: int) -> int:
    return (size + BLOCK - 1) & ~(BLOCK - 1)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
