"""Look for input that the readers of foreign files do not take well, and keep what reaches new lines of them.

    nox -s fuzz -- [TARGET,...] [--seconds N] [--seed N]

The corpus is tests/smith/corpus/TARGET; the test suite reads all of it again. An input that raises anything but a
SmithError is written there too, under a name that begins with `broken-`, and ends the run.
"""

import argparse
import hashlib
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from smith.content import BytesContent
from smith.elf.read import read
from smith.errors import SmithError
from smith.sources.rpm import header
from smith.tarindex import data_of, members

CORPUS = Path(__file__).resolve().parent.parent / "tests/smith/corpus"
LARGEST = 4096
TOKENS = (b"\0", b"\xff", b"\x7f", b"\x80", b"0", b"7", b"\n", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"1 ", b"=")


def tar(data: bytes) -> None:
    """Every member, with the start of what it holds."""
    for member in members(BytesContent(data), "tar"):
        data_of(member, BytesContent(data)).read_at(0, 64)


def elf_file(data: bytes) -> None:
    read(BytesContent(data), "elf")


def rpm(data: bytes) -> None:
    """Both headers of a file, and every value of them."""
    found = header.read(io.BytesIO(data), "rpm")
    for each in (found.signature, found.header):
        for tag in each.entries:
            for value in (each.numbers, each.texts, each.binary):
                try:
                    value(tag)
                except SmithError:
                    continue


TARGETS: dict[str, Callable[[bytes], None]] = {"tar": tar, "elf": elf_file, "rpm": rpm}
WATCHED = ("tarindex.py", "read.py", "header.py", "content.py")


class Coverage:
    """Pairs of lines run one after the other in the watched files."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, int]] = set()
        self.fresh = False
        self._last = 0

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        if event == "line":
            pair = (frame.f_code.co_name, self._last, frame.f_lineno)
            self._last = frame.f_lineno
            if pair not in self.seen:
                self.seen.add(pair)
                self.fresh = True
        return self._trace

    def new(self, work: Callable[[bytes], None], data: bytes) -> bool:
        """Whether `work` on this input runs something that none before did. SmithErrors are right answers."""
        self.fresh = False
        self._last = 0
        sys.settrace(self._trace)
        try:
            work(data)
        except SmithError:
            return self.fresh
        finally:
            sys.settrace(None)
        return self.fresh


def changed(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A few changes: bits, bytes, tokens, pieces moved, cut or taken from another input."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(result) + 1)
        kind = chance.randrange(6)
        if kind == 0 and place < len(result):
            result[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(result):
            result[place] = chance.randrange(256)
        elif kind == 2:
            token = chance.choice(TOKENS)
            result[place : place + len(token)] = token
        elif kind == 3:
            del result[place : place + chance.choice((1, 8, 16, 512))]
        elif kind == 4:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            length = chance.choice((4, 16, 512))
            result[place : place + length] = other[start : start + length]
        else:
            result[place:place] = result[place : place + chance.choice((16, 512))]
    return bytes(result[:LARGEST])


def run(name: str, seconds: float, seed: int) -> int:
    """Fuzz one target; how many inputs were kept."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    work, coverage, chance = TARGETS[name], Coverage(), random.Random(seed)
    corpus = [path.read_bytes() for path in sorted(folder.iterdir())] or [b"\0" * 512]
    for data in corpus:
        coverage.new(work, data)
    kept = tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = changed(chance.choice(corpus), corpus, chance)
        tried += 1
        label = hashlib.sha256(data).hexdigest()[:12]
        try:
            fresh = coverage.new(work, data)
        except Exception:
            (folder / f"broken-{label}").write_bytes(data)
            print(f"{name}: {folder}/broken-{label}", file=sys.stderr)
            raise
        if fresh:
            corpus.append(data)
            (folder / label).write_bytes(data)
            kept += 1
    print(f"{name}: {tried} inputs, {kept} kept, {len(coverage.seen)} pairs of lines")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="?", default=",".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in options.targets.split(","):
        run(name, options.seconds, options.seed)


if __name__ == "__main__":
    main()
