"""An image describes itself, and what is not whole is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashcart import trailer
from crashcart.errors import CrashcartError

DOCUMENT = {"crashcart": 1, "format": "erofs", "architecture": "amd64", "packages": [{"name": "a", "version": "1"}]}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "x.img"
    path.write_bytes(b"filesystem" * 1000)
    trailer.append(str(path), DOCUMENT)
    return path


def test_description_is_read_back(image: Path) -> None:
    assert trailer.read(str(image)) == DOCUMENT


def test_image_has_whole_blocks_and_starts_with_the_filesystem(image: Path) -> None:
    data = image.read_bytes()
    assert len(data) % 4096 == 0
    assert data.startswith(b"filesystem" * 1000)


@pytest.mark.parametrize("at", [0, 5000, 9999])
def test_changed_byte_is_found(image: Path, at: int) -> None:
    data = bytearray(image.read_bytes())
    data[at] ^= 1
    image.write_bytes(data)
    with pytest.raises(CrashcartError, match="is damaged"):
        trailer.read(str(image))


@pytest.mark.parametrize("length", [0, 100, 4096, 12288 - 1])
def test_cut_image_is_found(image: Path, length: int) -> None:
    image.write_bytes(image.read_bytes()[:length])
    with pytest.raises(CrashcartError, match=r"no crashcart image|does not describe itself|is damaged"):
        trailer.read(str(image))


def test_other_version_is_named(image: Path) -> None:
    data = bytearray(image.read_bytes())
    data[-48] = 9
    image.write_bytes(data)
    with pytest.raises(CrashcartError, match="image version 9; this crashcart knows version 1"):
        trailer.read(str(image))


def test_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CrashcartError, match=r"cannot read image .*: No such file"):
        trailer.read(str(tmp_path / "none"))
