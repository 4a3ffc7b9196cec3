"""OpenPGP signatures of repository metadata, checked by Sequoia against keyrings on disk (RFC 9580)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime

import pysequoia

from smith.errors import SmithError, VerificationError

_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


class Keyring:
    """The certificates of some keyring files. `sources` says where they come from, for messages."""

    def __init__(self, certificates: list[pysequoia.Cert], sources: tuple[str, ...]) -> None:
        self._certificates = certificates
        self.sources = sources

    @classmethod
    def from_files(cls, paths: Iterable[str]) -> Keyring:
        """Read binary (.gpg) and armoured (.asc) keyrings. Raises SmithError for one that cannot be read."""
        certificates: list[pysequoia.Cert] = []
        names = tuple(paths)
        for path in names:
            try:
                with open(path, "rb") as stream:
                    data = stream.read()
            except OSError as error:
                raise SmithError(f"the keyring {path} cannot be read: {error.strerror}") from None
            certificates += _certificates(data, path)
        return cls(certificates, names)

    @classmethod
    def from_text(cls, text: str, subject: str) -> Keyring:
        """An armoured key given in a configuration itself."""
        return cls(_certificates(text.encode(), subject), (subject,))

    @classmethod
    def joined(cls, rings: Iterable[Keyring]) -> Keyring:
        """All the certificates of several."""
        rings = list(rings)
        return cls([c for ring in rings for c in ring._certificates], tuple(s for ring in rings for s in ring.sources))

    def only(self, fingerprints: Iterable[str]) -> Keyring:
        """The certificates with these fingerprints (hex; a final `!` is allowed and ignored)."""
        wanted = {text.rstrip("!").lower() for text in fingerprints}
        kept = [c for c in self._certificates if c.fingerprint.lower() in wanted]
        return Keyring(kept, self.sources)

    def verify_inline(self, signed: bytes, subject: str) -> bytes:
        """The text of a clear-signed document, if a key of this ring signed it. Raises VerificationError."""
        return self._verify(signed, None, subject) or b""

    def verify_detached(self, data: bytes, signature: bytes, subject: str) -> None:
        """Check a detached signature, armoured or binary. Raises VerificationError."""
        try:
            parsed = pysequoia.Sig.from_bytes(signature)
        except Exception as error:
            raise VerificationError(f"{subject}: the signature cannot be read: {error}") from None
        self._verify(data, parsed, subject)

    def _verify(self, data: bytes, signature: pysequoia.Sig | None, subject: str) -> bytes | None:
        asked: list[str] = []

        def store(ids: list[str]) -> list[pysequoia.Cert]:
            asked.extend(ids)
            return self._certificates

        where = ", ".join(self.sources) or "no keyring"
        try:
            result = (
                pysequoia.verify(bytes=data, store=store, signature=signature)
                if signature is not None
                else pysequoia.verify(bytes=data, store=store)
            )
        except Exception as error:
            keys = ", ".join(key.upper() for key in asked) or "no key"
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise VerificationError(
                f"{subject}: the signature does not hold: {reason} (signed by {keys}; trusted keys from {where})"
            ) from None
        expired = {
            c.fingerprint for c in self._certificates if c.expiration is not None and c.expiration < datetime.now(UTC)
        }
        signers = {signature.certificate for signature in result.valid_sigs}
        if not signers:
            raise VerificationError(f"{subject}: no valid signature (trusted keys from {where})")
        if signers <= expired:
            raise VerificationError(f"{subject}: signed only by keys that have expired: {', '.join(sorted(signers))}")
        return result.bytes if signature is None else None


def _certificates(data: bytes, subject: str) -> list[pysequoia.Cert]:
    blocks = [data]
    if _ARMOUR in data:
        blocks = [_ARMOUR + block for block in data.split(_ARMOUR)[1:]]
    found: list[pysequoia.Cert] = []
    for block in blocks:
        if not block.strip():
            continue
        try:
            found += pysequoia.Cert.split_bytes(block)
        except Exception as error:
            raise SmithError(f"{subject}: not a keyring that can be read: {error}") from None
    return found


def is_keyring_text(text: str) -> bool:
    """Is this an armoured key itself rather than the name of a file?"""
    return _ARMOUR.decode() in text


def readable(paths: Iterable[str]) -> list[str]:
    """Those of the keyrings that exist and that the caller may read."""
    return [path for path in paths if os.access(path, os.R_OK)]
