"""Signatures of images in cosign's formats, by keys: pure functions of bytes. What asks registries is in `registry`.

    key = keys.signing_key("cosign.key", lambda: b"passphrase")
    payload = statements.simple_payload("registry.example.com/team/nginx:1", digest)
    signature = keys.sign(key, payload)

Signing without keys (a certificate for a person or a job, and a public log) needs services on the network: not here.
"""
