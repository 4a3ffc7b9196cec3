"""One rpm repository: mirrors, repomd.xml and what it names, all by checksum; packages by signature too."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from smith.cache import CHUNK, Cache
from smith.errors import InputError, SmithError, VerificationError
from smith.fetch import Fetcher, redacted
from smith.openpgp import Keyring
from smith.progress import Progress
from smith.sources import Input
from smith.sources.rpm import header as h
from smith.sources.rpm import payload
from smith.sources.rpm.configuration import Source

_REPO = "{http://linux.duke.edu/metadata/repo}"
_METALINK = "{http://www.metalinker.org/}"
_DOCUMENT = 16 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One metadata file by repomd.xml: where it is below the repository, its checksum and size in bytes."""

    location: str
    algorithm: str
    checksum: str
    size: int | None


@dataclass(slots=True)
class Repository:
    """An opened repository. `bases` are its mirrors, the one that answered first."""

    source: Source
    fetcher: Fetcher
    bases: list[str]
    parts: dict[str, Part]
    inputs: list[Input] = field(default_factory=list)
    _keyring: Keyring | None = None

    def keyring(self) -> Keyring:
        """The keys that may sign. SmithError when one cannot be had."""
        if self._keyring is None:
            self._keyring = keyring(self.source, self.fetcher)
        return self._keyring

    def metadata(self, kind: str) -> str:
        """Bring the part of that kind (primary, filelists) into the cache, verified; its SHA-256. SmithError."""
        part = self.parts.get(kind)
        if part is None:
            only = ", but as zchunk, which is not read: take another mirror" if f"{kind}_zck" in self.parts else ""
            raise InputError(f"{self.bases[0]}: repomd.xml names no {kind}{only}")
        url, sha256 = self.first(part.location, lambda address: self._part(address, part))
        if not any(item.sha256 == sha256 for item in self.inputs):
            self.inputs.append(Input("index", url, sha256, part.size or 0))
        return sha256

    def _part(self, url: str, part: Part) -> str:
        if part.algorithm == "sha256":
            return self.fetcher.fetch(url, part.checksum, part.size)
        with self.fetcher.cache.incoming(size=part.size, subject=redacted(url)) as blob:
            self.fetcher.stream(url, blob, limit=part.size)
            with blob.written() as stream:
                found = _digest(stream, part.algorithm)
            if found != part.checksum:
                raise VerificationError(f"{redacted(url)}: its {part.algorithm} is {found}, not {part.checksum}")
        return blob.sha256

    def first(self, location: str, work: Callable[[str], str]) -> tuple[str, str]:
        """`work` on the first mirror that does: (address, result). The last mirror's error when none does."""
        if "://" in location:
            return location, work(location)
        failure: SmithError | None = None
        for base in self.bases[:4]:
            url = f"{base}/{location}"
            try:
                return url, work(url)
            except SmithError as error:
                failure = failure or error
        raise failure or SmithError(f"{self.source.name}: no mirror to fetch {location} from")

    def package(self, location: str, sha256: str, size: int | None) -> tuple[str, str]:
        """Bring one package into the cache: checksum, header signature, payload digest. (address, SHA-256)."""

        def work(url: str) -> str:
            cache = self.fetcher.cache
            if not cache.has(sha256, size):
                with cache.incoming(sha256, size=size, subject=redacted(url)) as blob:
                    self.fetcher.stream(url, blob, limit=size)
                    if blob.sha256 == sha256:
                        with blob.written() as stream:
                            self._check(stream, redacted(url))
            elif self.source.check_packages:
                with cache.open(sha256) as stream:
                    self._check(stream, redacted(url), whole=False)
            return sha256

        return self.first(location, work)

    def _check(self, stream: BinaryIO, url: str, whole: bool = True) -> None:
        parts = h.read(stream, url)
        if self.source.check_packages:
            verify_signature(stream, parts, self.keyring(), url)
        if whole:
            payload.verify_payload(stream, parts, url)


def _digest(stream: BinaryIO, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while data := stream.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def verify_signature(stream: BinaryIO, parts: h.RpmFile, ring: Keyring, what: str) -> None:
    """Check the signature over the header, or for older packages over header and payload. VerificationError."""
    stream.seek(parts.start)
    signed = stream.read(parts.payload - parts.start)
    candidates = [parts.signature.binary(tag) for tag in (h.SIG_RSA, h.SIG_DSA)]
    if h.SIG_OPENPGP in parts.signature:
        candidates += [base64.b64decode(text) for text in parts.signature.texts(h.SIG_OPENPGP)]
    found = next((data for data in candidates if data), b"")
    if not found:
        found = parts.signature.binary(h.SIG_PGP) or parts.signature.binary(h.SIG_GPG)
        if not found:
            raise VerificationError(f"{what}: the package is not signed")
        signed += stream.read()
    ring.verify_detached(signed, found, what)


def keyring(source: Source, fetcher: Fetcher) -> Keyring:
    """The repository's keys: armoured text, files, or addresses. SmithError when one cannot be had."""
    rings = []
    for key in source.keys:
        if "-----BEGIN" in key:
            rings.append(Keyring.from_text(key, f"key of {source.name}"))
        elif "://" in key and not key.startswith("file://"):
            rings.append(Keyring.from_text(fetcher.read(key, _DOCUMENT).decode("utf-8", "replace"), redacted(key)))
        else:
            rings.append(Keyring.from_files([key.removeprefix("file://")]))
    if not rings:
        raise SmithError(f"{source.origin}: no gpgkey to check signatures by")
    return Keyring.joined(rings)


def open_repository(
    source: Source, cache: Cache, progress: Progress, *, insecure: bool = False, fast: bool = False
) -> Repository:
    """Find a mirror and read its repomd.xml, verified by metalink or signature where there is one. SmithError."""
    verify_tls = source.verify_tls and not insecure
    fetcher = Fetcher(cache, progress, verify_tls=verify_tls, ca_file=source.ca_file or None, fast=fast)
    bases, digest = _mirrors(source, fetcher)
    if source.username:
        fetcher.user = (source.username, source.password)
    if source.certificate:
        fetcher.client_certificates = dict.fromkeys(bases, (source.certificate, source.certificate_key or None))
    failure: SmithError | None = None
    for base in bases[:6]:
        url = f"{base}/repodata/repomd.xml"
        try:
            data = fetcher.news(url, _DOCUMENT)
            if digest and hashlib.sha256(data).hexdigest() not in digest:
                raise VerificationError(f"{redacted(url)}: is not the repomd.xml that the metalink names")
            repository = Repository(source, fetcher, [base, *(b for b in bases if b != base)], _parts(data, url))
            if source.check_metadata:
                signature = fetcher.news(url + ".asc", _DOCUMENT)
                repository.keyring().verify_detached(data, signature, redacted(url))
                fetcher.remember(url + ".asc", signature)
        except SmithError as error:
            failure = failure or error
            continue
        fetcher.remember(url, data)
        repository.inputs.append(Input("release", redacted(url), hashlib.sha256(data).hexdigest(), len(data)))
        return repository
    raise failure or SmithError(f"{source.origin}: no mirror")


def _mirrors(source: Source, fetcher: Fetcher) -> tuple[list[str], set[str]]:
    """Base addresses in order of preference, and the SHA-256 that repomd.xml may have (none: not known)."""
    if source.metalink:
        data = fetcher.news(source.metalink, _DOCUMENT)
        found = _metalink(data, source.metalink)
        fetcher.remember(source.metalink, data)
        return found
    if source.mirrorlist and not source.urls:
        data = fetcher.news(source.mirrorlist, _DOCUMENT)
        fetcher.remember(source.mirrorlist, data)
        text = data.decode("utf-8", "replace")
        mirrors = [line.strip().rstrip("/") for line in text.splitlines() if "://" in line and not line.startswith("#")]
        if not mirrors:
            raise SmithError(f"{redacted(source.mirrorlist)}: names no mirror")
        return mirrors, set()
    return [url.rstrip("/") for url in source.urls], set()


def _metalink(data: bytes, what: str) -> tuple[list[str], set[str]]:
    root = _xml(data, what)
    hashes = {
        item.text.strip().lower()
        for item in root.iter(f"{_METALINK}hash")
        if item.get("type") == "sha256" and item.text
    }
    urls = [
        (-int(item.get("preference") or 0), (item.text or "").strip())
        for item in root.iter(f"{_METALINK}url")
        if item.get("protocol", "http") in ("http", "https", "file")
    ]
    suffix = "/repodata/repomd.xml"
    found = [url.removesuffix(suffix) for _, url in sorted(urls, key=lambda pair: pair[0]) if url.endswith(suffix)]
    if not found or not hashes:
        raise SmithError(f"{redacted(what)}: the metalink names no mirror or no checksum")
    return found, hashes


def _parts(data: bytes, what: str) -> dict[str, Part]:
    found = {}
    for item in _xml(data, what).iter(f"{_REPO}data"):
        checksum, location, size = (item.find(f"{_REPO}{name}") for name in ("checksum", "location", "size"))
        if checksum is None or location is None or not checksum.text:
            continue
        algorithm = {"sha": "sha1"}.get(checksum.get("type", ""), checksum.get("type", ""))
        if algorithm not in ("sha256", "sha384", "sha512", "sha1"):
            raise VerificationError(
                f"{redacted(what)}: the checksum of {item.get('type')} is {algorithm}, which is not safe"
            )
        href = location.get("href", "")
        if ".." in href.split("/"):
            raise InputError(f"{redacted(what)}: the location {href!r} leaves the repository")
        number = int(size.text) if size is not None and size.text and size.text.isdecimal() else None
        found[item.get("type", "")] = Part(href, algorithm, checksum.text.strip().lower(), number)
    return found


def _xml(data: bytes, what: str) -> ElementTree.Element:
    if b"<!ENTITY" in data or b"<!DOCTYPE" in data:
        raise InputError(f"{redacted(what)}: declares entities, which is refused")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise InputError(f"{redacted(what)}: is not XML: {error}") from None
