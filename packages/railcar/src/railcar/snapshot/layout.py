"""Decides how the memory of a stopped process is mapped again: what from its files, what from the image, what empty."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

PAGE = 4096
_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE, _ANONYMOUS, _GROWSDOWN, _NORESERVE, _FIXED_NOREPLACE = 0x02, 0x20, 0x100, 0x4000, 0x100000
#: So many empty pages in a row are worth a mapping of their own, which costs some 2 µs at each start.
_EMPTY_RUN = 32
#: What is mapped of the stack; the kernel lets it grow further down.
_STACK = 2 << 20
_RED_ZONE = 128
_VDSO = ("[vvar]", "[vvar_vclock]", "[vdso]")
#: struct rseq: not registered, and the C library is to ask the kernel for the processor.
_NO_RSEQ = struct.pack("<Ii", 0, -2)
#: Where in the C library's description of a thread its id is looked for.
_THREAD_SIZE = 0xA00


class LayoutError(Exception):
    """This process cannot be made again; the text says why."""


@dataclass(frozen=True)
class Region:
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    path: str

    def protection(self) -> int:
        """PROT_*"""
        pairs = zip("rwx", (_READ, _WRITE, _EXECUTE), strict=True)
        return sum(bit for letter, bit in pairs if letter in self.permissions)


@dataclass(frozen=True)
class Row:
    """One mmap. `file` counts from 0, the image; -1 is none."""

    start: int
    length: int
    protection: int
    flags: int
    file: int = -1
    offset: int = 0


@dataclass(frozen=True)
class Thread:
    """Addresses of the C library's thread: its pointer (the fs base), its id, its list of robust mutexes."""

    pointer: int
    tid: int
    robust_list: int


@dataclass
class Layout:
    """`stack`: (address, length, offset in the image). `vdso`: (distance before the vdso, length, address)."""

    registers: dict[str, int]
    thread: Thread
    rows: list[Row] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    vdso: list[tuple[int, int, int]] = field(default_factory=list)
    stack: tuple[int, int, int] = (0, 0, 0)
    image: bytearray = field(default_factory=bytearray)


def regions(maps: str) -> list[Region]:
    """The text of /proc/PID/maps, read."""
    found = []
    for line in maps.splitlines():
        places, permissions, offset, _, _, *path = line.split(None, 5)
        start, end = (int(place, 16) for place in places.split("-"))
        found.append(Region(start, end, permissions, int(offset, 16), path[0] if path else ""))
    return found


def thread(registers: dict[str, int], pid: int, robust_list: int, read: Callable[[int, int], bytes]) -> Thread:
    """Find where the C library keeps the id of the one thread. Raises LayoutError when that is not clear."""
    pointer = registers["fs_base"]
    words = struct.unpack(f"<{_THREAD_SIZE // 4}I", read(pointer, _THREAD_SIZE))
    places = [place for place, word in enumerate(words) if word == pid]
    if len(places) != 1:
        raise LayoutError(f"the thread's id is in {len(places)} places of its description")
    if not pointer <= robust_list < pointer + _THREAD_SIZE:
        raise LayoutError("the thread has no list of robust mutexes")
    return Thread(pointer, pointer + 4 * places[0], robust_list)


def plan(
    layout: Layout,
    found: list[Region],
    read: Callable[[int, int], bytes],
    of_file: Callable[[str, int, int], bytes],
    heap_end: int,
    rseq: int,
) -> None:
    """Fill the layout. `heap_end`: where the C library keeps the heap's end; `rseq`: that structure's offset, or 0.

    Raises LayoutError.
    """
    # The heap ends where the kernel says for each process: asked when this is zero.
    patches = {heap_end: bytes(8)}
    if rseq:
        patches[layout.thread.pointer + rseq] = _NO_RSEQ
    vdso = next((region.start for region in found if region.path == "[vdso]"), None)
    if vdso is None:
        raise LayoutError("the kernel gives no vdso")
    for region in found:
        length = region.end - region.start
        if region.path in _VDSO:
            layout.vdso.append((vdso - region.start, length, region.start))
        elif region.path == "[stack]":
            _plan_stack(layout, region, read)
        elif region.path == "[vsyscall]":
            continue
        elif "s" in region.permissions:
            raise LayoutError(f"{region.path or 'memory'} is shared with others")
        elif "r" not in region.permissions:
            layout.rows.append(_empty(region.start, length, 0))
        else:
            content = bytearray(read(region.start, length))
            if (
                region.path.startswith("/")
                and "w" not in region.permissions
                and of_file(region.path, region.offset, length) == content
            ):
                layout.rows.append(
                    Row(region.start, length, region.protection(), _FIXED_NOREPLACE | _PRIVATE,
                        _index(layout.files, region.path), region.offset)
                )  # fmt: skip
                continue
            for address, patch in patches.items():
                if region.start <= address < region.end:
                    content[address - region.start : address - region.start + len(patch)] = patch
            _plan_content(layout, region, content)


def _index(files: list[str], path: str) -> int:
    if path not in files:
        files.append(path)
    return files.index(path) + 1


def _empty(start: int, length: int, protection: int) -> Row:
    return Row(start, length, protection, _FIXED_NOREPLACE | _PRIVATE | _ANONYMOUS | _NORESERVE)


def _plan_stack(layout: Layout, region: Region, read: Callable[[int, int], bytes]) -> None:
    used = (layout.registers["rsp"] - _RED_ZONE) & ~15
    length = region.end - used
    flags = _FIXED_NOREPLACE | _PRIVATE | _ANONYMOUS | _NORESERVE | _GROWSDOWN
    layout.rows.append(Row(region.end - _STACK, _STACK, _READ | _WRITE, flags))
    # Behind a whole number of pages of the other regions.
    layout.stack = (used, length, len(layout.image))
    layout.image += read(used, length)
    layout.image += bytes(-len(layout.image) % PAGE)


def _plan_content(layout: Layout, region: Region, content: bytearray) -> None:
    """Runs of pages with something in them come from the image, long runs of empty ones from nowhere."""
    for first, last, empty in runs(content):
        start, length = region.start + first * PAGE, (last - first) * PAGE
        if empty:
            layout.rows.append(_empty(start, length, region.protection()))
            continue
        layout.rows.append(Row(start, length, region.protection(), _FIXED_NOREPLACE | _PRIVATE, 0, len(layout.image)))
        layout.image += content[first * PAGE : last * PAGE]


def runs(content: bytes | bytearray) -> list[tuple[int, int, bool]]:
    """(first page, page behind the last, whether all are empty): short empty runs count as content."""
    zero = bytes(PAGE)
    total = len(content) // PAGE
    found: list[tuple[int, int, bool]] = []
    page = 0
    while page < total:
        empty = content[page * PAGE : (page + 1) * PAGE] == zero
        end = page + 1
        while end < total and (content[end * PAGE : (end + 1) * PAGE] == zero) == empty:
            end += 1
        empty = empty and (end - page >= _EMPTY_RUN or end - page == total)
        if found and found[-1][2] == empty:
            found[-1] = (found[-1][0], end, empty)
        else:
            found.append((page, end, empty))
        page = end
    return found
