"""Digests: the grammar, computing, and content that is not what it should be."""

import hashlib
import io

import pytest
from ocicommon import digest
from ocicommon.errors import DigestMismatch, InvalidDigest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "value",
    [EMPTY, "sha512:" + "0" * 128, "sha384:" + "f" * 96, "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9"],
)
def test_digests_are_accepted(value: str) -> None:
    assert digest.check(value) == value
    assert ":".join(digest.parse(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", "sha256", "sha256:", ":abc", "sha256:zz", EMPTY + "\n", " " + EMPTY, EMPTY.upper(), "sha256:" + "a" * 65),
        *("sha256:" + "A" * 64, "sha--256:aa", "-sha:aa", "sha256:sha256:aa", "sha1:a/../b", "sha256:" + "\u0661" * 64),
    ],
)
def test_other_strings_are_refused(value: str) -> None:
    with pytest.raises(InvalidDigest, match="is not a digest"):
        digest.parse(value)


def test_computing() -> None:
    assert digest.of(b"") == EMPTY
    assert digest.of(b"abc", "sha512") == "sha512:" + hashlib.sha512(b"abc").hexdigest()
    assert digest.of_stream(io.BytesIO(b"a" * 700_000)) == (digest.of(b"a" * 700_000), 700_000)
    with pytest.raises(InvalidDigest, match="cannot compute md5"):
        digest.of(b"", "md5")


def test_verified_stream_hands_on_good_content() -> None:
    content = bytes(range(256)) * 3000
    reader = digest.VerifyingReader(io.BytesIO(content), digest.of(content), len(content))
    assert reader.read(10) + reader.read() == content
    assert reader.read() == b""


@pytest.mark.parametrize(
    ("content", "size", "text"),
    [
        (b"abcd", 3, "longer than the 3 bytes"),
        (b"ab", 3, "has 2 bytes instead of 3"),
        (b"abd", 3, "changed or damaged"),
    ],
)
def test_verified_stream_refuses_other_content(content: bytes, size: int, text: str) -> None:
    reader = digest.VerifyingReader(io.BytesIO(content), digest.of(b"abc"), size, "layer")
    with pytest.raises(DigestMismatch, match=text):
        reader.read()
