"""Archives in compressions that few still use are read as well."""

import lzma
import os
import shutil
import subprocess

import pytest
from smith.errors import InputError
from smith.inflate import compression_of, expand

DATA = b"".join(os.urandom(1 << 10) + bytes(1 << 12) for _ in range(200))


def lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


def inflated(packed: bytes, size: int = 4099) -> bytes:
    chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
    return b"".join(expand(chunks, compression_of(packed[:6]), "layer"))


def test_lzma_of_old_packages_is_read() -> None:
    packed = lzma_alone(DATA)
    assert compression_of(packed[:6]) == "lzma"
    assert inflated(packed) == DATA


@pytest.mark.parametrize("program", ["lz4", "lzip"])
def test_output_of_the_program_is_read(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    packed = subprocess.run([program, "-c"], input=DATA, capture_output=True, check=True).stdout
    assert compression_of(packed[:6]) == program
    assert inflated(packed) == DATA


def test_damage_is_one_sentence() -> None:
    packed = bytearray(lzma_alone(DATA))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    with pytest.raises(InputError, match="layer is damaged: its lzma data"):
        inflated(bytes(packed))
