"""OpenPGP signatures of repositories: of a key that has expired, of another key, over other bytes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pysequoia
import pytest
from smith.errors import VerificationError
from smith.openpgp import Keyring

TEXT = b"Suite: stable\n"


def clear_signed(key: pysequoia.Tsk) -> bytes:
    return bytes(pysequoia.sign(key.signer(), TEXT, mode=pysequoia.SignatureMode.CLEAR))


def keyring(certificate: pysequoia.Cert, path: Path) -> Keyring:
    path.write_text(str(certificate))
    return Keyring.from_files([str(path)])


def test_a_key_that_has_expired_signs_nothing(tmp_path: Path) -> None:
    key = pysequoia.Tsk.generate(user_id="a <a@example.org>")
    # A new key is a minute old, so that clocks may differ.
    past = datetime.now(UTC) - timedelta(seconds=10)
    ring = keyring(key.extract_certificate().set_expiration(past, key.certifier()), tmp_path / "key.asc")
    with pytest.raises(VerificationError, match=r"^Release: .*expired") as caught:
        ring.verify_inline(clear_signed(key), "Release")
    assert "\n" not in str(caught.value)


def test_another_key_and_other_bytes_are_refused(tmp_path: Path) -> None:
    right, wrong = (pysequoia.Tsk.generate(user_id=f"{name} <{name}@example.org>") for name in "ab")
    signed, ring = clear_signed(right), keyring(right.extract_certificate(), tmp_path / "key.asc")
    assert ring.verify_inline(signed, "Release").strip() == TEXT.strip()
    with pytest.raises(VerificationError, match=r"^Release: the signature does not hold: .*key\.asc"):
        ring.verify_inline(clear_signed(wrong), "Release")
    with pytest.raises(VerificationError, match=r"^Release: the signature does not hold"):
        ring.verify_inline(signed.replace(b"stable", b"sloppy"), "Release")
