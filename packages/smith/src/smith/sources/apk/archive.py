"""apk's containers (apk-package(5), version 2): gzip members one after the other: signature, control, data.

A signature covers the bytes of the member after it; an index names the SHA-1 or SHA-256 of a package's control
member; that names the SHA-256 of the data member. So one signature on the index covers every file.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from smith.cache import CHUNK, Cache
from smith.content import BytesContent, Content, FileContent
from smith.errors import InputError, SmithError, VerificationError
from smith.inflate import compression_of, expand
from smith.sources.stored import copy
from smith.tarindex import members

_SMALL = 64 << 20
_KINDS = {".SIGN.RSA256.": hashes.SHA256, ".SIGN.RSA.": hashes.SHA1}


@dataclass(frozen=True, slots=True)
class Segment:
    """One gzip member: where its compressed bytes lie, and its inflated content (small ones only)."""

    offset: int
    size: int
    content: bytes

    def files(self, what: str) -> dict[str, bytes]:
        """The regular files of its tar, by name."""
        whole = BytesContent(self.content)
        return {m.name: whole.read_at(m.offset, m.stored) for m in members(whole, what) if m.kind == "0"}


def segment(stream: BinaryIO, offset: int, what: str) -> Segment:
    """The gzip member at `offset`, inflated. InputError when it is no gzip, cut short, or over 64 MiB."""
    stream.seek(offset)
    if stream.read(4) in (b"ADBd", b"ADBc", b"ADB."):
        raise InputError(f"{what}: is of apk's version 3 (ADB), which is not read: take a repository of version 2")
    stream.seek(offset)
    inflater = zlib.decompressobj(wbits=31)
    found = bytearray()
    read = 0
    try:
        while not inflater.eof:
            data = stream.read(CHUNK)
            if not data:
                raise InputError(f"{what}: cut short at byte {offset + read}")
            read += len(data)
            found += inflater.decompress(data, _SMALL - len(found) + 1)
            if len(found) > _SMALL:
                raise InputError(f"{what}: its control part is over {_SMALL} bytes")
    except zlib.error as error:
        raise InputError(f"{what}: not an apk file of version 2, or damaged: {error}") from None
    return Segment(offset, read - len(inflater.unused_data), bytes(found))


def read_keys(paths: Mapping[str, str]) -> dict[str, rsa.RSAPublicKey]:
    """Public keys by the name that signatures use, from files. SmithError for one that cannot be read."""
    found = {}
    for name, path in paths.items():
        try:
            with open(path, "rb") as stream:
                key = serialization.load_pem_public_key(stream.read())
        except OSError as error:
            raise SmithError(f"the key {path} cannot be read: {error.strerror}") from None
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SmithError(f"{path}: not a public key: {error}") from None
        if isinstance(key, rsa.RSAPublicKey):
            found[name] = key
    return found


def verify(stream: BinaryIO, keys: Mapping[str, rsa.RSAPublicKey], what: str) -> Segment:
    """Check the signature member against the rest of the file's next member, and give that. VerificationError."""
    first = segment(stream, 0, what)
    signatures = {name: data for name, data in first.files(what).items() if name.startswith(".SIGN.")}
    if not signatures:
        raise VerificationError(f"{what}: is not signed")
    signed = segment(stream, first.size, what)
    stream.seek(signed.offset)
    data = stream.read(signed.size)
    signers = []
    for name, signature in signatures.items():
        prefix = next((p for p in _KINDS if name.startswith(p)), None)
        if prefix is None:
            continue
        signer = name.removeprefix(prefix)
        signers.append(signer)
        if signer not in keys:
            continue
        try:
            keys[signer].verify(signature, data, padding.PKCS1v15(), _KINDS[prefix]())
        except InvalidSignature:
            raise VerificationError(f"{what}: the signature by {signer} does not hold") from None
        return signed
    trusted = ", ".join(sorted(keys)) or "none"
    raise VerificationError(
        f"{what}: signed by {', '.join(signers) or 'no known kind of key'}; trusted keys: {trusted}"
    )


@dataclass(slots=True)
class Apk:
    """An opened package. `info` holds .PKGINFO's fields (each a list), `scripts` the other control files."""

    info: dict[str, list[str]]
    scripts: dict[str, bytes]
    control: Segment
    data_offset: int
    data: Content | None = None

    def value(self, name: str) -> str:
        return (self.info.get(name) or [""])[0]


def read(stream: BinaryIO, what: str) -> Apk:
    """The control part of a package. InputError for a damaged one."""
    part = segment(stream, 0, what)
    files = part.files(what)
    if any(name.startswith(".SIGN.") for name in files):
        part = segment(stream, part.size, what)
        files = part.files(what)
    if ".PKGINFO" not in files:
        raise InputError(f"{what}: not an apk package of version 2 (no .PKGINFO)")
    info: dict[str, list[str]] = {}
    for line in files.pop(".PKGINFO").decode("utf-8", "replace").splitlines():
        key, equal, value = line.partition(" = ")
        if equal and not line.startswith("#"):
            info.setdefault(key.strip(), []).append(value.strip())
    return Apk(info, files, part, part.offset + part.size)


def identity(package: Apk, stream: BinaryIO, like: str) -> str:
    """The checksum of the control member in the form that an index has it: Q1 and base64 SHA-1, or Q2 and SHA-256."""
    stream.seek(package.control.offset)
    data = stream.read(package.control.size)
    digest = (
        hashlib.sha256(data).digest() if like.startswith("Q2") else hashlib.sha1(data, usedforsecurity=False).digest()
    )
    return like[:2] + base64.b64encode(digest).decode()


def verify_package(stream: BinaryIO, checksum: str | None, what: str) -> Apk:
    """Check a package's control member against `checksum` from the index, and its data against its own record.

    `checksum` None checks the data alone. VerificationError when either differs.
    """
    package = read(stream, what)
    if checksum is not None and identity(package, stream, checksum) != checksum:
        raise VerificationError(f"{what}: its checksum is not {checksum}, which the index promises; nothing was kept")
    expected = package.value("datahash")
    found = hashlib.sha256()
    stream.seek(package.data_offset)
    while data := stream.read(CHUNK):
        found.update(data)
    if found.hexdigest() != expected:
        raise VerificationError(
            f"{what}: its files do not have the checksum that the package promises; nothing was kept"
        )
    return package


def open_apk(cache: Cache, sha256: str, what: str) -> Apk:
    """Open a package that is in the cache, its data tar inflated once. InputError for a damaged one."""
    with cache.open(sha256) as stream:
        package = read(stream, what)

    def produce(sink: BinaryIO) -> None:
        with cache.open(sha256) as stream:
            copy(expand(_rest(stream, package.data_offset), "gzip", what), sink, what)

    with cache.open(sha256) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(package.data_offset)
        if package.data_offset < size and compression_of(stream.read(6)) != "gzip":
            raise InputError(f"{what}: its data part is no gzip")
    if package.data_offset < size:
        package.data = FileContent(cache.derive("apk-data-1", sha256, produce), origin=f"apk {sha256}")
    return package


def _rest(stream: BinaryIO, offset: int) -> Iterator[bytes]:
    stream.seek(offset)
    while data := stream.read(CHUNK):
        yield data
