"""Keys for signatures: ECDSA over P-256 with SHA-256, as PEM files of cosign's or of openssl's making."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from smith.errors import InputError, UsageError

SigningKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
_SEALED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_ECDSA = ec.ECDSA(hashes.SHA256())
_BYTES = 1 << 16
_WORK = 1 << 22
"""scrypt takes 128 bytes of memory times this at most."""


def signing_key(path: str, passphrase: Callable[[], bytes]) -> SigningKey:
    """The private key in a PEM file; `passphrase` is asked for only if the key is encrypted.

    Raises InputError for a file that is no such key, UsageError for a wrong passphrase.
    """
    text = _text(path)
    try:
        sealed = _sealed(text)
        if sealed is not None:
            key: Any = serialization.load_der_private_key(_unsealed(sealed, passphrase()), None)
        else:
            try:
                key = serialization.load_pem_private_key(text, None)
            except TypeError:
                key = serialization.load_pem_private_key(text, passphrase())
    except CryptoError:
        raise UsageError(f"{path}: the passphrase is wrong") from None
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower() or "decrypt" in str(error).lower():
            raise UsageError(f"{path}: the passphrase is wrong") from None
        raise InputError(f"{path}: is no private key in PEM: make one by `cosign generate-key-pair`") from None
    if not isinstance(key, SigningKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"{path}: is a key of another kind: smith signs by ECDSA over P-256")
    return key


def public_key(path: str) -> PublicKey:
    """The public key in a PEM file. Raises InputError."""
    try:
        key: Any = serialization.load_pem_public_key(_text(path))
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: is no public key in PEM: `cosign generate-key-pair` writes one") from None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"{path}: is a key of another kind: smith verifies ECDSA over P-256")
    return key


def sign(key: SigningKey, data: bytes) -> bytes:
    """A signature in DER."""
    return key.sign(data, _ECDSA)


def holds(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether this is a signature of the data by the key."""
    try:
        key.verify(signature, data, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _sealed(text: bytes) -> dict[str, Any] | None:
    """What stands between cosign's own lines, None if this is an ordinary PEM file."""
    lines = text.decode("ascii", "replace").split("\n")
    for name in _SEALED:
        if f"-----BEGIN {name}-----" in lines and f"-----END {name}-----" in lines:
            start, end = lines.index(f"-----BEGIN {name}-----"), lines.index(f"-----END {name}-----")
            found = json.loads(base64.b64decode("".join(lines[start + 1 : end]), validate=True))
            if not isinstance(found, dict):
                raise ValueError
            return found
    return None


def _unsealed(sealed: dict[str, Any], passphrase: bytes) -> bytes:
    kdf, cipher = sealed["kdf"], sealed["cipher"]
    if kdf["name"] != "scrypt" or cipher["name"] != "nacl/secretbox":
        raise ValueError
    rounds, block, lanes = (int(kdf["params"][name]) for name in ("N", "r", "p"))
    if min(rounds - 1, block, lanes) < 1 or lanes > 16 or rounds * block > _WORK:
        raise ValueError
    key = hashlib.scrypt(
        passphrase,
        salt=base64.b64decode(kdf["salt"], validate=True),
        n=rounds, r=block, p=lanes, dklen=SecretBox.KEY_SIZE,
        maxmem=128 * block * (rounds + lanes + 2) + (1 << 20),
    )  # fmt: skip
    nonce, box = (base64.b64decode(text, validate=True) for text in (cipher["nonce"], sealed["ciphertext"]))
    return SecretBox(key).decrypt(box, nonce)
