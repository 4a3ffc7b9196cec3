"""What cosign 3.1.1 itself wrote: an encrypted key (the passphrase is `secret`), its public half, and a bundle."""

import json

PASSPHRASE = b"secret"
DIGEST = "sha256:210c5527c978e3bf6286ffbb01e363f6f896be3dd52b9d9bb01e37474ed7b835"
KEY = """-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJWVUQzbEhIbWl4QWl2L2o1a0diRXZ2alpIRWJEcXov
cmNZOFRreSszSk1rPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJ4SEUxengwbFNvWnorOEcySmprOEE3NEN3RkxFQ2NvTiJ9LCJj
aXBoZXJ0ZXh0Ijoiak5LWFI4K0FUWjJuNE5yYldWYzBUQ1lFZHFXUUdpais0V3c2
UFBlSUhpQThldmRyQkQzRjZmbWd5bjhGTzZmOEg0TU5xWEkwcmxJWFVRdGFXTkxr
Y01xTTV1OFFTNWpBcEFobXMxMXZoWi9qSW9MM3UxZUxBdS9lTG9Dc3l3UmZ4ekpy
cHZiMThSWE9WM1pmOXNCbXl4NjA0bUxiekNaeHJ2UUwxZlh4elZMTExwRXZmNHor
cWlvL2dwd1BHeTZqWXk0Tkk4L3JSUFJlMXc9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1IPGIfK+s1OE8vaNb5hCHgFQgTZ1
Jp6nCneKRXj8fVwjRmflsqXdSEy1jproPFNAXqT3RpAh1IqkRufknMVCoQ==
-----END PUBLIC KEY-----
"""
_PAYLOAD = (
    "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU2Ijoi"
    "MjEwYzU1MjdjOTc4ZTNiZjYyODZmZmJiMDFlMzYzZjZmODk2YmUzZGQ1MmI5ZDliYjAxZTM3NDc0ZWQ3YjgzNSJ9LCJhbm5vdGF0"
    "aW9ucyI6e319XSwicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRl"
    "Ijp7fX0="
)
_SIGNATURE = "MEQCIDcj+kTqFSbmNqGvOobkMq/Rn7ZiqMgF+KWITHkKtmKOAiBFrffWK8B04YZnZqbMiIR0sMmiV4pvMdYVVQy9kuogJw=="
BUNDLE = json.dumps(
    {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "j5bo8vxpXvDGBjVrZR0204iX3JUvyMOwNMWQSd7LQco="}},
        "dsseEnvelope": {
            "payload": _PAYLOAD,
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": _SIGNATURE}],
        },
    }
).encode()
