"""What a snapshot maps from where, decided without a process."""

import struct
from pathlib import Path

import pytest
from railcar.snapshot import layout
from railcar.snapshot.layout import PAGE, Layout, LayoutError, Region, Row, Thread, regions, runs
from railcar.snapshot.record import Identity

MAPS = """\
00400000-00402000 r-xp 00001000 08:01 12     /usr/bin/python3 with space
00500000-00501000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00010000 rw-p 00000000 00:00 0      [stack]
7ffc00020000-7ffc00024000 r--p 00000000 00:00 0      [vvar]
7ffc00024000-7ffc00026000 r-xp 00000000 00:00 0      [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
"""
FIXED, PRIVATE, ANONYMOUS, NORESERVE, GROWSDOWN = 0x100000, 2, 0x20, 0x4000, 0x100
REGISTERS = {"fs_base": 0x500800, "rsp": 0x7FFC0000F000}


def test_maps_are_read_with_their_paths() -> None:
    found = regions(MAPS)
    assert found[0] == Region(0x400000, 0x402000, "r-xp", 0x1000, "/usr/bin/python3 with space")
    assert found[0].protection() == 5
    assert found[1].path == ""


def planned(memory: dict[int, bytes] | None = None, file: bytes = b"code", maps: str = MAPS) -> Layout:
    """The plan of MAPS; `memory` by address, zeroes elsewhere; the program's file has `file`, repeated, in it."""
    content = memory or {}

    def read(address: int, length: int) -> bytes:
        made = bytearray(length)
        for start, piece in content.items():
            if address <= start < address + length:
                made[start - address : start - address + len(piece)] = piece
        return bytes(made)

    made = Layout(dict(REGISTERS), Thread(0x500800, 0x500810, 0x500820))
    layout.plan(
        made, regions(maps), read, lambda path, offset, length: (file * length)[:length], heap_end=0x500100, rseq=0
    )
    return made


def test_unchanged_text_comes_from_its_file_and_changed_text_from_the_image() -> None:
    same = planned({0x400000: b"code" * (2 * PAGE // 4)})
    assert Row(0x400000, 2 * PAGE, 5, FIXED | PRIVATE, 1, 0x1000) in same.rows
    assert same.files == ["/usr/bin/python3 with space"]
    changed = planned({0x400000: b"edoc" * (2 * PAGE // 4)})
    assert Row(0x400000, 2 * PAGE, 5, FIXED | PRIVATE, 0, 0) in changed.rows
    assert changed.files == []


def test_heap_is_told_to_ask_where_it_ends() -> None:
    made = planned({0x500000: b"\1" * PAGE})
    row = next(row for row in made.rows if row.start == 0x500000)
    assert row == Row(0x500000, PAGE, 3, FIXED | PRIVATE, 0, row.offset)
    content = made.image[row.offset : row.offset + PAGE]
    assert content[0x100:0x108] == bytes(8)
    assert content.count(b"\1") == PAGE - 8


def test_stack_is_mapped_to_grow_and_filled_from_the_red_zone_up() -> None:
    made = planned({0x7FFC0000F000: b"\2" * 16})
    assert Row(0x7FFC00010000 - (2 << 20), 2 << 20, 3, FIXED | PRIVATE | ANONYMOUS | NORESERVE | GROWSDOWN) in made.rows
    start, length, offset = made.stack
    assert (start, length) == (0x7FFC0000F000 - 128, PAGE + 128)
    assert made.image[offset : offset + length] == bytes(128) + b"\2" * 16 + bytes(PAGE - 16)


def test_vdso_pieces_are_told_by_their_distance() -> None:
    assert planned().vdso == [(0x4000, 0x4000, 0x7FFC00020000), (0, 0x2000, 0x7FFC00024000)]


def test_places_in_the_image_are_whole_pages() -> None:
    made = planned({0x500000: b"\1", 0x400000: b"\1"})
    assert all(row.offset % PAGE == 0 for row in made.rows)
    assert len(made.image) % PAGE == 0


def test_memory_shared_with_others_is_refused() -> None:
    with pytest.raises(LayoutError, match="/dev/shm/x is shared"):
        planned(maps=MAPS + "600000-601000 rw-s 00000000 00:00 0 /dev/shm/x\n")


def test_process_without_vdso_is_refused() -> None:
    with pytest.raises(LayoutError, match="vdso"):
        planned(maps="\n".join(line for line in MAPS.splitlines() if "vdso" not in line))


def test_long_empty_runs_are_left_out_of_the_image() -> None:
    one, none = b"\1" + bytes(PAGE - 1), bytes(PAGE)
    assert runs(one + none * 3 + one) == [(0, 5, False)]
    assert runs(one + none * 32 + one) == [(0, 1, False), (1, 33, True), (33, 34, False)]
    assert runs(none * 2) == [(0, 2, True)]
    assert runs(b"") == []


@pytest.mark.parametrize("places", [[], [4, 40]])
def test_thread_id_must_be_in_one_place(places: list[int]) -> None:
    words = [0] * 0x280
    for place in places:
        words[place] = 4321
    with pytest.raises(LayoutError, match=f"{len(places)} places"):
        layout.thread(REGISTERS, 4321, 0x500820, lambda address, length: struct.pack("<640I", *words))
    words = [0] * 0x280
    words[180] = 4321
    found = layout.thread(REGISTERS, 4321, 0x500820, lambda address, length: struct.pack("<640I", *words))
    assert found == Thread(0x500800, 0x500800 + 720, 0x500820)


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("1")
    before = Identity.of(str(file))
    assert Identity.of(str(file)) == before
    assert before.line().endswith(f" {file}")
    file.write_text("22")
    assert Identity.of(str(file)).numbers() != before.numbers()
