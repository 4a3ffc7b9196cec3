"""What a signature says: cosign's "simple signing" payload, and the sigstore bundle that cosign 3 writes."""

import base64
import json
from typing import Any

from ocicommon.canonical import dumps

from smith.signing.keys import PublicKey, holds

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_SIMPLE_TYPES = ("cosign container image signature", "atomic container signature")
_STATEMENT = "application/vnd.in-toto+json"
_SIGNED = "https://sigstore.dev/cosign/sign/v1"
"""The predicate by which cosign says "signed"; other statements (a bill of materials, say) are no signatures."""


def simple_payload(name: str, digest: str) -> bytes:
    """The text that is signed: `digest` is an image's, `name` what it is called by."""
    return dumps(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": _SIMPLE_TYPES[0],
            },
            "optional": None,
        }
    )


def simple_name(key: PublicKey, payload: bytes, signature: str, digest: str) -> str | None:
    """What a payload calls the image of this digest, None if it is not the key's word on that digest."""
    try:
        if not holds(key, base64.b64decode(signature, validate=True), payload):
            return None
        critical = json.loads(payload)["critical"]
        if critical["type"] in _SIMPLE_TYPES and critical["image"]["docker-manifest-digest"] == digest:
            return str(critical["identity"]["docker-reference"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None


def bundle_signs(key: PublicKey, bundle: bytes, digest: str) -> bool:
    """Whether a sigstore bundle is the key's word that the image of this digest is signed."""
    try:
        envelope: dict[str, Any] = json.loads(bundle)["dsseEnvelope"]
        if envelope["payloadType"] != _STATEMENT:
            return False
        payload = base64.b64decode(envelope["payload"], validate=True)
        signed = _encoded(_STATEMENT, payload)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        if not any(holds(key, signature, signed) for signature in signatures):
            return False
        statement = json.loads(payload)
        algorithm, _, encoded = digest.partition(":")
        subjects = [subject["digest"].get(algorithm) for subject in statement["subject"]]
        return statement["predicateType"] == _SIGNED and encoded in subjects
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _encoded(kind: str, payload: bytes) -> bytes:
    """The bytes that an envelope's signature is of (DSSE v1, "pre-authentication encoding")."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
