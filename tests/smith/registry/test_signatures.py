"""Signatures by keys in cosign's formats: what cosign wrote is read, what smith wrote is read by cosign."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import cosigns
import images
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from distribution import Registry
from ocicommon import mediatypes
from server import Server
from smith.errors import InputError, UsageError, VerificationError
from smith.registry import Options, Retry, open_registry, push, signatures
from smith.signing import keys, statements

OPTIONS = Options(retry=Retry(sleep=lambda seconds: None))


@pytest.fixture
def cosign_key(tmp_path: Path) -> tuple[Path, Path]:
    """cosign's own files."""
    private, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    private.write_text(cosigns.KEY)
    public.write_text(cosigns.PUBLIC)
    return private, public


def pair(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[Path, Path]:
    """A key and its public half, as openssl writes them."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def pushed(host: str, folder: Path, name: str = "team/app:1") -> str:
    """The digest of a small image at a registry."""
    layout, _ = images.simple(1000)
    return str(push(layout.archive(folder / "in.tar"), f"{host}/{name}", options=OPTIONS).descriptor["digest"])


def test_cosigns_own_key_opens_and_fits_its_public_half(cosign_key: tuple[Path, Path]) -> None:
    private = keys.signing_key(str(cosign_key[0]), lambda: cosigns.PASSPHRASE)
    assert keys.holds(keys.public_key(str(cosign_key[1])), keys.sign(private, b"text"), b"text")
    assert not keys.holds(keys.public_key(str(cosign_key[1])), keys.sign(private, b"text"), b"other")


def test_a_wrong_passphrase_is_said(cosign_key: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cosign\.key: the passphrase is wrong"):
        keys.signing_key(str(cosign_key[0]), lambda: b"other")
    plain = ec.generate_private_key(ec.SECP256R1())
    secret = serialization.BestAvailableEncryption(b"right")
    data = plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    (tmp_path / "openssl.key").write_bytes(data)
    keys.signing_key(str(tmp_path / "openssl.key"), lambda: b"right")
    with pytest.raises(UsageError, match=r"openssl\.key: the passphrase is wrong"):
        keys.signing_key(str(tmp_path / "openssl.key"), lambda: b"wrong")


def changed(key: str, name: str, value: object) -> str:
    """cosign's key with another parameter of its scrypt."""
    begin, *middle, end = key.strip().split("\n")
    document = json.loads(base64.b64decode("".join(middle)))
    document["kdf"]["params"][name] = value
    return "\n".join([begin, base64.b64encode(json.dumps(document).encode()).decode(), end, ""])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        cosigns.PUBLIC,
        cosigns.KEY.replace("eyJ", "!!!", 1),
        cosigns.KEY.replace("eyJ", "AAA", 1),
        changed(cosigns.KEY, "N", 1 << 40),
        changed(cosigns.KEY, "r", -8),
        changed(cosigns.KEY, "p", "many"),
        changed(cosigns.KEY, "N", 65535),
    ],
)
def test_what_is_no_private_key_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(InputError, match="is no private key in PEM"):
        keys.signing_key(str(tmp_path / "key"), lambda: b"secret")


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    other = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "key").write_bytes(other.private_bytes(pem, form, serialization.NoEncryption()))
    with pytest.raises(InputError, match="of another kind: smith signs by ECDSA"):
        keys.signing_key(str(tmp_path / "key"), lambda: b"")
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "pub").write_bytes(other.public_key().public_bytes(pem, public))
    with pytest.raises(InputError, match="of another kind: smith verifies ECDSA"):
        keys.public_key(str(tmp_path / "pub"))
    with pytest.raises(InputError, match="cannot be read"):
        keys.public_key(str(tmp_path / "absent"))


def test_a_bundle_of_cosign_3_holds_for_its_image_alone(cosign_key: tuple[Path, Path], tmp_path: Path) -> None:
    key = keys.public_key(str(cosign_key[1]))
    assert statements.bundle_signs(key, cosigns.BUNDLE, cosigns.DIGEST)
    assert not statements.bundle_signs(key, cosigns.BUNDLE, "sha256:" + 64 * "0")
    other = keys.public_key(str(pair(tmp_path, "other")[1]))
    assert not statements.bundle_signs(other, cosigns.BUNDLE, cosigns.DIGEST)
    for wrong in (b"", b"[]", b"{}", b'{"dsseEnvelope":[]}', cosigns.BUNDLE.replace(b"in-toto", b"other")):
        assert not statements.bundle_signs(key, wrong, cosigns.DIGEST)


def test_a_statement_of_another_kind_is_no_signature(tmp_path: Path) -> None:
    """A bill of materials that the key attested says nothing about who may run the image."""
    private, public = pair(tmp_path, "mine")
    key = keys.signing_key(str(private), lambda: b"")
    for predicate, holds in (("https://sigstore.dev/cosign/sign/v1", True), ("https://spdx.dev/Document", False)):
        payload = json.dumps({"predicateType": predicate, "subject": [{"digest": {"sha256": "aa"}}]}).encode()
        kind = "application/vnd.in-toto+json"
        signed = keys.sign(key, b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
        envelope = {
            "payloadType": kind,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"sig": base64.b64encode(signed).decode()}],
        }
        bundle = json.dumps({"dsseEnvelope": envelope}).encode()
        assert statements.bundle_signs(keys.public_key(str(public)), bundle, "sha256:aa") is holds


def test_signed_and_verified_by_the_commands(smith: Path, server: Server, tmp_path: Path) -> None:
    digest = pushed(server.host, tmp_path)
    mine, other = pair(tmp_path, "mine"), pair(tmp_path, "other")

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([smith, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    where = f"{server.host}/team/app:1"
    words = ["verify", where, "--key", str(mine[1])]
    assert "is not signed" in run(*words, code=3).stderr
    run("download", "-r", where, "-i", "out.tar", "--key", str(mine[1]), code=3)
    assert not (tmp_path / "out.tar").exists()
    assert "signed" in run("sign", where, "--key", str(other[0])).stdout
    assert "has 1 signature, none of them by the key" in run(*words, code=3).stderr
    assert json.loads(run("sign", where, "--key", str(mine[0]), "--json").stdout)["signed"] == [digest]
    assert f"signed by {mine[1]}, as {where}" in run(*words).stdout
    assert json.loads(run(*words, "--json").stdout)["digest"] == digest
    assert where in run("verify", where, "--key", str(other[1])).stdout, "the first signature stays"
    run("download", "-r", where, "-i", "out.tar", "--key", str(mine[1]))
    assert images.index_of(tmp_path / "out.tar")[0]["digest"] == digest


def test_an_encrypted_key_asks_nobody_in_a_pipe(smith: Path, cosign_key: tuple[Path, Path], tmp_path: Path) -> None:
    words = [smith, "sign", "127.0.0.1:1/x", "--key", "cosign.key"]
    environment = {name: value for name, value in os.environ.items() if name != "COSIGN_PASSWORD"}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        "smith: cosign.key: is encrypted: put its passphrase into $COSIGN_PASSWORD\n",
    )


def test_an_index_is_signed_with_all_its_images(server: Server, tmp_path: Path) -> None:
    layout = images.Layout()
    children = [layout.image(images.layer({"a": b"a"}), architecture=name) for name in ("amd64", "arm64")]
    index = layout.index(*children)
    layout.name(index)
    push(layout.archive(tmp_path / "in.tar"), f"{server.host}/several:1", options=OPTIONS)
    private, public = pair(tmp_path, "mine")
    with open_registry(f"{server.host}/several:1", OPTIONS) as registry:
        signed = signatures.sign(registry, keys.signing_key(str(private), lambda: b""))
        assert signed == [index["digest"], *(child["digest"] for child in children)]
        for digest in signed:
            assert signatures.verified(registry, digest, keys.public_key(str(public)), "mine")


@pytest.mark.parametrize("what", ["payload", "digest", "moved"])
def test_forged_signatures_are_not_believed(server: Server, tmp_path: Path, what: str) -> None:
    digest = pushed(server.host, tmp_path)
    private, public = pair(tmp_path, "mine")
    with open_registry(f"{server.host}/team/app:1", OPTIONS) as registry:
        signatures.sign(registry, keys.signing_key(str(private), lambda: b""))
        tag = f"sha256-{digest.removeprefix('sha256:')}.sig"
        content, kind = server.manifests["team/app", tag]
        manifest = json.loads(content)
        layer = manifest["layers"][0]
        payload = server.blobs["team/app", layer["digest"]]
        if what == "moved":
            # The signature of one image under the tag of another.
            digest = "sha256:" + 64 * "1"
            tag = f"sha256-{64 * '1'}.sig"
        else:
            new = (
                payload.replace(b"team/app", b"evil/app")
                if what == "payload"
                else payload.replace(b"sha256", b"sha512")
            )
            layer["digest"], layer["size"] = images.digest_of(new), len(new)
            server.blobs["team/app", layer["digest"]] = new
        server.manifests["team/app", tag] = (json.dumps(manifest).encode(), kind)
        with pytest.raises(VerificationError, match="none of them by the key mine"):
            signatures.verified(registry, digest, keys.public_key(str(public)), "mine")


def test_a_bundle_beside_an_image_is_found(server: Server, tmp_path: Path, cosign_key: tuple[Path, Path]) -> None:
    """As cosign 3 leaves it: a referrer, here found by the tag that stands for the list."""
    layout = images.Layout()
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "artifactType": statements.BUNDLE,
        "config": layout.add(b"{}", mediatypes.EMPTY),
        "layers": [layout.add(cosigns.BUNDLE, statements.BUNDLE)],
        "subject": {"mediaType": mediatypes.MANIFEST, "digest": cosigns.DIGEST, "size": 1},
    }
    entry = layout.add(json.dumps(manifest).encode(), mediatypes.MANIFEST, artifactType=mediatypes.EMPTY)
    for digest, content in layout.blobs.items():
        server.blobs["x", digest] = content
    server.manifests["x", entry["digest"]] = (json.dumps(manifest).encode(), mediatypes.MANIFEST)
    index = {"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": [entry]}
    server.manifests["x", cosigns.DIGEST.replace(":", "-")] = (json.dumps(index).encode(), mediatypes.INDEX)
    with open_registry(f"{server.host}/x:1", OPTIONS) as registry:
        found = signatures.verified(registry, cosigns.DIGEST, keys.public_key(str(cosign_key[1])), "cosign.pub")
    assert [each.form for each in found] == ["bundle"]


def test_cosign_verifies_what_smith_signed_and_signs_for_smith(
    smith: Path, registry: Registry, tool: Callable[[str], str], cosign_key: tuple[Path, Path], tmp_path: Path
) -> None:
    cosign = tool("cosign")
    digest = pushed(registry.host, tmp_path, "peers/app:1")
    where = f"{registry.host}/peers/app@{digest}"
    environment = {**os.environ, "COSIGN_PASSWORD": "secret", "HOME": str(tmp_path)}

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(smith, "sign", where, "--key", "cosign.key")
    verify = [cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", where]
    assert digest in run(*verify)
    other = pushed(registry.host, tmp_path, "peers/other:1")
    there = f"{registry.host}/peers/other@{other}"
    (tmp_path / "none.json").write_text('{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}')
    run(cosign, "sign", "--yes", "--key", "cosign.key", "--signing-config", "none.json", there)
    assert "signed by cosign.pub" in run(smith, "verify", there, "--key", "cosign.pub")
