"""Opening a NaCl secret box (XSalsa20 and Poly1305), in which cosign keeps private keys. For small boxes only."""

import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY_BYTES = 32
NONCE_BYTES = 24
_TAG_BYTES = 16
_MASK = 0xFFFFFFFF
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_QUARTERS = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


class WrongKey(ValueError):
    """The box is not of this key, or was changed."""


def opened(key: bytes, nonce: bytes, box: bytes) -> bytes:
    """What is in the box. Raises WrongKey; nothing of the content is looked at before its tag was verified."""
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES or len(box) < _TAG_BYTES:
        raise WrongKey
    tag, content = box[:_TAG_BYTES], box[_TAG_BYTES:]
    # The first 32 bytes of the stream are the authenticator's key (NaCl, crypto_secretbox).
    stream = _stream(_derived(key, nonce[:16]), nonce[16:], 32 + len(content))
    try:
        Poly1305.verify_tag(stream[:32], content, tag)
    except InvalidSignature:
        raise WrongKey from None
    return bytes(one ^ two for one, two in zip(content, stream[32:], strict=True))


def _rounds(state: list[int]) -> list[int]:
    """Twenty rounds of Salsa20 over 16 words."""
    x = list(state)
    rotate: Callable[[int, int], int] = lambda value, by: (value << by | value >> (32 - by)) & _MASK  # noqa: E731
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            x[b] ^= rotate((x[a] + x[d]) & _MASK, 7)
            x[c] ^= rotate((x[b] + x[a]) & _MASK, 9)
            x[d] ^= rotate((x[c] + x[b]) & _MASK, 13)
            x[a] ^= rotate((x[d] + x[c]) & _MASK, 18)
    return x


def _state(key: bytes, middle: tuple[int, ...]) -> list[int]:
    words = struct.unpack("<8I", key)
    return [_SIGMA[0], *words[:4], _SIGMA[1], *middle, _SIGMA[2], *words[4:], _SIGMA[3]]


def _derived(key: bytes, nonce: bytes) -> bytes:
    """HSalsa20: the key of one nonce's first 16 bytes."""
    x = _rounds(_state(key, struct.unpack("<4I", nonce)))
    return struct.pack("<8I", *(x[place] for place in (0, 5, 10, 15, 6, 7, 8, 9)))


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    made = bytearray()
    for counter in range((length + 63) // 64):
        state = _state(key, (*struct.unpack("<2I", nonce), counter & _MASK, counter >> 32))
        made += struct.pack("<16I", *((one + two) & _MASK for one, two in zip(state, _rounds(state), strict=True)))
    return bytes(made[:length])
