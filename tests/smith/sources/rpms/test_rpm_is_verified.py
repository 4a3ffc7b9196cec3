"""What an rpm repository gives is checked by signature and checksum, and kept only then."""

import base64
import datetime
import hashlib
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rpm_packages import index, names, needs_rpmbuild
from smith.cache import Cache
from smith.errors import InputError, SmithError, VerificationError
from smith.sources.rpm import header as h
from smith.spec import Repository


@needs_rpmbuild
def test_metadata_as_zchunk_alone_is_named(load: Any, repository: Any) -> None:
    root, _ = repository
    path = root / "repodata/repomd.xml"
    path.write_text(path.read_text().replace('type="primary"', 'type="primary_zck"'))
    with pytest.raises(InputError, match="names no primary, but as zchunk"):
        load("libdep")


@needs_rpmbuild
def test_what_lies_beside_zchunk_is_taken(load: Any, repository: Any) -> None:
    root, _ = repository
    if "--zck" not in subprocess.run(["createrepo_c", "--help"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this createrepo_c writes no zchunk")
    subprocess.run(["createrepo_c", "-q", "--zck", str(root)], check=True, capture_output=True)
    assert 'type="primary_zck"' in (root / "repodata/repomd.xml").read_text()
    locations = [item.url for item in load("libdep").inputs if "repodata" in item.url]
    assert any("primary.xml." in each for each in locations)
    assert not [each for each in locations if each.endswith(".zck")]


@needs_rpmbuild
def test_packages_without_a_right_signature_are_refused_and_not_kept(
    load: Any, new_key: Any, repository: Any, built: Path, cache: Cache
) -> None:
    with pytest.raises(VerificationError, match=r"libdep-1\.2-1\.noarch\.rpm: the signature does not hold"):
        load("libdep", keys=(str(new_key("stranger").public),))
    assert not list((cache.directory / "derived").glob("rpm-payload-1/*"))
    root, _ = repository
    for path in built.rglob("libdep-1.2*.rpm"):
        shutil.copy(path, next(root.rglob("libdep-1.2*.rpm")))
    index(root)
    with pytest.raises(VerificationError, match=r"libdep-1\.2-1\.noarch\.rpm: the package is not signed"):
        load("libdep")


@needs_rpmbuild
def test_a_corrupt_payload_under_a_valid_header_is_refused(load: Any, repository: Any) -> None:
    root, _ = repository
    path = next(root.rglob("libdep-1.2*.rpm"))
    data = bytearray(path.read_bytes())
    data[-30] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=r"libdep.*: the checksum is sha256:"):
        load("libdep")
    index(root)
    with pytest.raises(VerificationError, match=r"libdep.*: the payload does not have the digest"):
        load("libdep")


@needs_rpmbuild
def test_metadata_that_changed_is_refused(load: Any, repository: Any) -> None:
    root, _ = repository
    primary = next((root / "repodata").glob("*-primary.xml.*"))
    data = bytearray(primary.read_bytes())
    data[len(data) // 2] ^= 0xFF
    primary.write_bytes(data)
    with pytest.raises(VerificationError, match=r"primary\.xml\.\w+: the checksum is"):
        load("libdep")


@needs_rpmbuild
def test_a_metalink_and_signed_metadata_are_followed(load: Any, repository: Any, serve: Any, cache: Cache) -> None:
    root, key = repository
    served = serve(root)
    repomd = (root / "repodata/repomd.xml").read_bytes()
    digest = hashlib.sha256(repomd).hexdigest()

    def metalink(value: str) -> None:
        (root / "metalink").write_text(
            '<metalink xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><verification>'
            f'<hash type="sha256">{value}</hash></verification><resources>'
            f'<url protocol="http" preference="50">http://127.0.0.1:9/repodata/repomd.xml</url>'
            f'<url protocol="http" preference="40">{served.url}/repodata/repomd.xml</url>'
            "</resources></file></files></metalink>"
        )

    entry = Repository(f"{served.url}/metalink", keys=(str(key.public),), options={"repo_gpgcheck": "1"})
    metalink(digest)
    (root / "repodata/repomd.xml.asc").write_bytes(key.detached(repomd))
    assert names(load("libdep", repositories=(entry,))) == ["libdep-1.2-1"]
    (root / "repodata/repomd.xml.asc").write_bytes(key.detached(b"other"))
    with pytest.raises(SmithError):
        load("libdep", repositories=(entry,))
    metalink("0" * 64)
    with pytest.raises(SmithError):
        load("libdep", repositories=(entry,))


@pytest.mark.parametrize(
    "data", [b"", b"\xed\xab\xee\xdb", b"\xed\xab\xee\xdb" + bytes(92) + h.MAGIC + b"\xff" * 8, b"text" * 99]
)
def test_what_is_no_rpm_is_one_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.rpm").write_bytes(data)
    with open(tmp_path / "x.rpm", "rb") as stream, pytest.raises(InputError, match=r"x\.rpm"):
        h.read(stream, "x.rpm")


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """authority(name) -> (certificate, key), signed by tmp_path/ca.pem; for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def certificate(name: x509.Name, public: Any, authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(ca_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=2))
        builder = builder.not_valid_after(now + datetime.timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        own = x509.SubjectKeyIdentifier.from_public_key(public)
        builder = builder.add_extension(own, critical=False).add_extension(issuer, critical=False)
        return builder.add_extension(names, critical=False).sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    ca = certificate(ca_name, ca_key.public_key(), True)
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(pem))

    def make(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        files[0].write_bytes(certificate(subject, key.public_key(), False).public_bytes(pem))
        form = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        return files

    return make


@needs_rpmbuild
def test_tls_with_a_private_authority_client_certificates_and_a_password(
    load: Any, repository: Any, authority: Any, tmp_path: Path, serve: Any
) -> None:
    root, key = repository
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority("server"))
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    served = serve(root, context)
    wanted = "Basic " + base64.b64encode(b"me:secret").decode()
    served.hook = lambda _: None if served.headers[-1].get("Authorization") == wanted else 401
    certificate, secret = authority("client")
    options = {"sslcacert": str(tmp_path / "ca.pem"), "sslclientcert": str(certificate), "sslclientkey": str(secret)}
    options |= {"username": "me", "password": "secret"}

    def attempt(**changes: str) -> list[str]:
        given = {name: value for name, value in {**options, **changes}.items() if value}
        return names(load("libdep", repositories=(Repository(served.url, keys=(str(key.public),), options=given),)))

    assert attempt() == ["libdep-1.2-1"]
    with pytest.raises(SmithError, match="certificate is not trusted"):
        attempt(sslcacert="")
    with pytest.raises(SmithError, match="HTTP 401") as caught:
        attempt(password="wrong")
    assert "wrong" not in str(caught.value)
    with pytest.raises(SmithError):
        attempt(sslclientcert="", sslclientkey="")
