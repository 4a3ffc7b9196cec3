"""What differs between two contents of one file: sections and needs of ELF files, lines of text, the first byte."""

import hashlib
import io
from collections import Counter
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from smith.content import CHUNK, Content
from smith.elf import is_elf

MAX_ELF = 256 << 20
MAX_TEXT = 1 << 20
_BROKEN = (ELFError, ValueError, KeyError, AttributeError, TypeError, IndexError, UnicodeDecodeError)


def explained(old: Content, new: Content) -> list[str]:
    """Sentences about two contents that are not equal; never empty."""
    if is_elf(old) and is_elf(new) and max(old.size, new.size) <= MAX_ELF:
        return _elf(old, new)
    if max(old.size, new.size) <= MAX_TEXT:
        texts = _lines(old), _lines(new)
        if texts[0] is not None and texts[1] is not None:
            return [_text(texts[0], texts[1])]
    return [f"content from byte {first_difference(old, new)} on"]


def first_difference(old: Content, new: Content) -> int:
    """The offset of the first byte that differs; the shorter one's length if it is the other's beginning."""
    offset = 0
    while True:
        one, two = old.read_at(offset, CHUNK), new.read_at(offset, CHUNK)
        if one != two or not one:
            break
        offset += len(one)
    same = next((place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return offset + same


def _lines(content: Content) -> list[str] | None:
    data = content.read_at(0, content.size)
    if b"\0" in data:
        return None
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError:
        return None


def _text(old: list[str], new: list[str]) -> str:
    added = sum((Counter(new) - Counter(old)).values())
    removed = sum((Counter(old) - Counter(new)).values())
    if not added and not removed:
        return "the same lines in another order" if old != new else "line ends"
    return f"lines +{added} -{removed}"


def _elf(old: Content, new: Content) -> list[str]:
    one, two = _facts(old), _facts(new)
    found = []
    for name in ("build id", "soname", "interpreter"):
        if one[name] != two[name]:
            found.append(f"{name} {one[name] or 'none'} -> {two[name] or 'none'}")
    for name in sorted(two["needs"] - one["needs"]):
        found.append(f"needs {name} now")
    for name in sorted(one["needs"] - two["needs"]):
        found.append(f"needs {name} no more")
    sections: tuple[dict[str, tuple[int, bytes]], ...] = one["sections"], two["sections"]
    names = sorted(n for n in sections[0].keys() | sections[1].keys() if sections[0].get(n) != sections[1].get(n))
    found.append(f"ELF sections {', '.join(_section(n, *sections) for n in names)}" if names else "ELF headers")
    return found


def _section(name: str, old: dict[str, tuple[int, bytes]], new: dict[str, tuple[int, bytes]]) -> str:
    """A section's name, and how its size in bytes changed."""
    if name not in old:
        return f"{name} (new)"
    if name not in new:
        return f"{name} (gone)"
    change = new[name][0] - old[name][0]
    return f"{name} ({change:+d})" if change else name


def _facts(content: Content) -> dict[str, Any]:
    """What pyelftools tells of a file; what is broken or not there is empty."""
    facts: dict[str, Any] = {"build id": "", "soname": "", "interpreter": "", "needs": set(), "sections": {}}
    try:
        elf = ELFFile(io.BytesIO(content.read_at(0, content.size)))
        for section in elf.iter_sections():
            if section.name:
                data = section.data()
                facts["sections"][section.name] = (len(data), hashlib.sha256(data).digest())
            if isinstance(section, DynamicSection):
                # pyelftools names an attribute after the kind of tag.
                tags: list[Any] = list(section.iter_tags())
                for tag in tags:
                    facts["needs"] |= {tag.needed} if tag.entry.d_tag == "DT_NEEDED" else set()
                    facts["soname"] = tag.soname if tag.entry.d_tag == "DT_SONAME" else facts["soname"]
            if isinstance(section, NoteSection):
                notes = [note["n_desc"] for note in section.iter_notes() if note["n_type"] == "NT_GNU_BUILD_ID"]
                facts["build id"] = notes[0][:12] if notes else facts["build id"]
            if section.name == ".interp":
                facts["interpreter"] = data.rstrip(b"\0").decode()
    except _BROKEN:
        return facts
    return facts
