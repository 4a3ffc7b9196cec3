"""Package files with any byte changed or cut away: read, or refused by an error of smith's own; never anything else."""

import contextlib
import gzip
import io
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smith.cache import Cache
from smith.errors import SmithError
from smith.sources.apk import archive as apk
from smith.sources.deb import control, payload, version
from smith.sources.deb.archive import open_deb
from smith.sources.rpm import header as h
from smith.sources.rpm.payload import add as add_rpm
from smith.sources.rpm.payload import open_rpm
from smith.tree import Tree

bounded = settings(derandomize=True, deadline=None, max_examples=150)
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


def damaged(data: bytes, places: list[tuple[float, int]], cut: float) -> bytes:
    found = bytearray(data)
    for place, value in places:
        found[int(place * len(found))] = value
    return bytes(found[: int(cut * len(found))] if cut < 0.5 else found)


def rpm_of(files: dict[str, bytes]) -> bytes:
    """An .rpm with a plain cpio payload, put together by hand."""
    cpio = b""
    for number, (name, data) in enumerate([*files.items(), ("TRAILER!!!", b"")], 1):
        fields = [number, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        entry = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        entry += bytes(-len(entry) % 4) + data
        cpio += entry + bytes(-len(entry) % 4)
    names = [name.rpartition("/")[2] for name in files]
    values: list[Any] = [
        (h.NAME, h.STRING, "made"),
        (h.VERSION, h.STRING, "1"),
        (h.RELEASE, h.STRING, "1"),
        (h.BASENAMES, h.STRING_ARRAY, names),
        (h.DIRNAMES, h.STRING_ARRAY, ["/usr/share/"]),
        (h.DIRINDEXES, h.INT32, [0] * len(names)),
        (h.FILEMODES, h.INT16, [0o100644] * len(names)),
        (h.FILESIZES, h.INT32, [len(data) for data in files.values()]),
        (h.FILEINODES, h.INT32, list(range(1, len(names) + 1))),
        (h.PAYLOADFORMAT, h.STRING, "cpio"),
    ]
    signature = h.build([(1000, h.INT32, [0])], h.SIGNATURES)
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + h.MAGIC + signature + bytes(-len(signature) % 8) + h.MAGIC + h.build(values) + cpio


RPM = rpm_of({"./usr/share/a": b"first file", "./usr/share/b": b"second"})


def load_rpm(cache: Cache, data: bytes) -> Tree:
    tree = Tree()
    add_rpm(tree, open_rpm(cache, cache.put(io.BytesIO(data)), "made.rpm"), "made")
    return tree


def test_the_undamaged_ones_are_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    tree = load_rpm(cache, RPM)
    assert tree["usr/share/b"].content is not None
    assert tree["usr/share/b"].content.read_at(0, 99) == b"second"
    deb = open_deb(cache, cache.put(io.BytesIO(DEB)), "made.deb")
    assert payload.add(Tree(), deb, "made") == ["usr/share/made"]
    with pytest.raises(SmithError, match="its files do not have the checksum"):
        apk.verify_package(io.BytesIO(APK), None, "made.apk")


@bounded
@given(changes, st.floats(0, 1))
def test_any_rpm(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]], cut: float) -> None:
    cache = Cache(tmp_path_factory.mktemp("rpm"))
    with contextlib.suppress(SmithError):
        load_rpm(cache, damaged(RPM, places, cut))


@bounded
@given(st.binary(max_size=400))
def test_any_header(data: bytes) -> None:
    with contextlib.suppress(SmithError):
        header = h.parse(data, "header")
        for tag in header.entries:
            for read in (header.numbers, header.texts, header.binary):
                with contextlib.suppress(SmithError):
                    read(tag)


@bounded
@given(changes, st.floats(0, 1))
def test_any_deb(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]], cut: float) -> None:
    cache = Cache(tmp_path_factory.mktemp("deb"))
    with contextlib.suppress(SmithError):
        deb = open_deb(cache, cache.put(io.BytesIO(damaged(DEB, places, cut))), "made.deb")
        payload.add(Tree(), deb, "made")


@bounded
@given(changes, st.floats(0, 1))
def test_any_apk(places: list[tuple[float, int]], cut: float) -> None:
    with contextlib.suppress(SmithError):
        apk.verify_package(io.BytesIO(damaged(APK, places, cut)), None, "made.apk")


@bounded
@given(st.text(max_size=60))
def test_any_control_text_and_version(text: str) -> None:
    with contextlib.suppress(SmithError):
        control.paragraphs(text, "text")
        control.relations(text, "text")
    assert version.compare(text, text) == 0


def _ar(parts: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def _tar(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


DEB = _ar(
    {
        "debian-binary": b"2.0\n",
        "control.tar": _tar("./control", b"Package: made\nVersion: 1\nArchitecture: all\n"),
        "data.tar.xz": lzma.compress(_tar("./usr/share/made", b"data")),
    }
)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


APK = _gzip(_tar(".PKGINFO", b"pkgname = made\npkgver = 1\ndatahash = 0\n")) + _gzip(_tar("usr/made", b"data"))
