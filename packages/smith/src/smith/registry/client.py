"""One repository at one registry, by the distribution specification 1.1: requests that authenticate and try again."""

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ocicommon import digest as digests
from ocicommon import mediatypes
from ocicommon.errors import DigestMismatch, InvalidDigest
from ocicommon.reference import Reference

from smith.registry import address as addresses
from smith.registry import credentials
from smith.registry.address import Address, origin, shown
from smith.registry.authentication import Authenticator
from smith.registry.credentials import Credential
from smith.registry.errors import Broken, Mismatch, NotFound, RegistryError, refused
from smith.registry.retry import AGAIN, Retry
from smith.registry.transport import Body, Response, Transport, tls

MANIFEST_BYTES = 8 << 20
ACCEPTED = ", ".join(
    [
        mediatypes.MANIFEST,
        mediatypes.INDEX,
        mediatypes.DOCKER_MANIFEST,
        mediatypes.DOCKER_INDEX,
        "application/json;q=0.1",
    ]
)


@dataclass(frozen=True)
class Options:
    """How to reach registries: authorities beside the system's, no checks at all, plain HTTP, credentials, patience."""

    cacert: str | None = None
    insecure: bool = False
    plain_http: bool = False
    credential: Credential | None = None
    retry: Retry = field(default_factory=Retry)
    timeout: float = 60.0


@dataclass(frozen=True)
class Manifest:
    """A manifest as its bytes, with what it is called."""

    content: bytes
    media_type: str
    digest: str

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of these bytes."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class Registry:
    """A repository. Safe for several threads; `close` ends its connections."""

    def __init__(self, address: Address, options: Options | None = None) -> None:
        self.address = address
        self.options = options = options or Options()
        self.path = address.reference.path
        self._context = tls(options.cacert, insecure=options.insecure)
        self.transport = Transport(self._context, timeout=options.timeout)
        self.retry = replace(options.retry, sleep=options.retry.sleep or self.transport.pause)
        self.auth = Authenticator(self.transport, self._credential, retry=self.retry)
        self._base: str | None = None

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self.transport.close()

    def _credential(self) -> Credential | None:
        if self.options.credential is not None:
            return self.options.credential
        if self.address.user is not None:
            return Credential(self.address.user, self.address.password or "")
        return credentials.find(self.address.reference.host, self.path)

    @property
    def base(self) -> str:
        """`https://host:port`, or `http://` where that was asked for, or found on this machine."""
        if self._base is None:
            self._base = f"{self._scheme()}://{self.address.host}"
        return self._base

    def _scheme(self) -> str:
        if self.options.plain_http:
            return "http"
        if self.address.scheme or not self.address.loopback or self.options.cacert:
            return self.address.scheme or "https"
        probe = Transport(self._context, timeout=self.options.timeout)
        try:
            probe.request("GET", f"https://{self.address.host}/v2/", {}).close()
        except RegistryError as error:
            # On this machine plain HTTP is fine; only a registry that does speak TLS is held to its certificate.
            return "https" if "certificate" in str(error) else "http"
        finally:
            probe.close()
        return "https"

    def url(self, rest: str, path: str | None = None) -> str:
        """The address of `rest` (such as `blobs/sha256:...`) in this repository, or in `path`."""
        return f"{self.base}/v2/{path or self.path}/{rest}"

    def scope(self, actions: str = "pull", other: str | None = None) -> str:
        """The token scope for this repository, and for reading from `other`."""
        scope = f"repository:{self.path}:{actions}"
        return f"{scope} repository:{other}:pull" if other else scope

    def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        expect: tuple[int, ...] = (200,),
        again: bool = True,
    ) -> Response:
        """One request, with credentials for this registry's own origin only; tried again as `retry` says if `again`.

        The answer's status is one of `expect`. Raises NotFound, Denied, RegistryError; Broken only without `again`.
        """
        attempt = 0
        renewed = 0
        home = origin(self.base) == origin(url)
        authorization = self.auth.header(scope) if home else None
        while True:
            attempt += 1
            sent = {**(headers or {})}
            if authorization:
                sent["Authorization"] = authorization
            last = attempt >= self.retry.attempts or not again
            try:
                if body is None and method in ("GET", "HEAD"):
                    response = self.transport.follow(method, url, sent)
                else:
                    response = self.transport.request(method, url, sent, body)
            except Broken as error:
                if not again:
                    raise
                if last:
                    # Those who try again after Broken must not multiply the tries that were made here.
                    raise RegistryError(f"{error} ({attempt} tries)") from None
                self.retry.pause(attempt)
                continue
            if response.status in expect:
                return response
            if response.status == 401 and home and origin(response.url) == origin(url) and renewed < 2:
                challenge = ", ".join(response.headers.get_all("WWW-Authenticate") or [])
                response.start()
                response.close()
                renewed += 1
                attempt -= 1
                answer = self.auth.answer(url, challenge, scope, authorization)
                if answer is not None:
                    authorization = answer
                    continue
                raise refused(method, shown(url), 401, b"", self.auth.secrets)
            if response.status in AGAIN and not last:
                wish = response.headers.get("Retry-After")
                response.close()
                self.retry.pause(attempt, wish)
                continue
            failure = refused(method, shown(response.url), response.status, response.start(), self.auth.secrets)
            response.close()
            raise failure

    def manifest(self, version: str, *, expected: Mapping[str, Any] | None = None) -> Manifest:
        """The manifest at a tag or digest, verified against a digest and against the descriptor `expected`.

        Raises NotFound, Mismatch, Denied, RegistryError.
        """
        where = self.url(f"manifests/{urllib.parse.quote(version, safe=':')}")

        def fetch() -> tuple[bytes, str, str | None]:
            with self.request("GET", where, scope=self.scope(), headers={"Accept": ACCEPTED}) as response:
                kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip()
                return response.read(MANIFEST_BYTES), kind, response.headers.get("Docker-Content-Digest")

        content, kind, claimed = self.retry.run(fetch)
        wanted = version if ":" in version else claimed
        digest = digests.of(content)
        if wanted and wanted != digest:
            try:
                verifier = digests.Verifier(wanted, subject="manifest")
                verifier.update(content)
                verifier.finish()
                digest = wanted
            except (DigestMismatch, InvalidDigest) as error:
                raise Mismatch(f"{shown(where)}: {error}") from None
        if expected is not None and expected.get("size") not in (None, len(content)):
            raise Mismatch(f"{shown(where)}: has {len(content)} bytes, its descriptor says {expected['size']}")
        return Manifest(content, _media_type(content, kind, where, expected), digest)

    def exists(self, digest: str, path: str | None = None) -> bool:
        """Whether the repository has the blob `digest`."""
        try:
            self.request("HEAD", self.url(f"blobs/{digest}", path), scope=self.scope("pull,push")).close()
        except NotFound:
            return False
        return True

    def put_manifest(self, version: str, content: bytes, media_type: str) -> Response:
        """Stores a manifest under a tag or digest; the (closed) answer's headers may name its subject."""
        response = self.request(
            "PUT",
            self.url(f"manifests/{urllib.parse.quote(version, safe=':')}"),
            scope=self.scope("pull,push"),
            headers={"Content-Type": media_type},
            body=content,
            expect=(201, 200, 202),
        )
        response.close()
        claimed = response.headers.get("Docker-Content-Digest")
        if claimed and claimed.startswith("sha256:") and claimed != digests.of(content):
            raise Mismatch(f"{shown(response.url)}: the registry stored {claimed} instead of {digests.of(content)}")
        return response


def _media_type(content: bytes, header: str, where: str, expected: Mapping[str, Any] | None) -> str:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise RegistryError(f"{shown(where)}: the manifest is not JSON") from None
    if not isinstance(document, dict):
        raise RegistryError(f"{shown(where)}: the manifest is not an object")
    inside = document.get("mediaType")
    if document.get("schemaVersion") != 2:
        raise RegistryError(
            f"{shown(where)}: has a manifest of schema {document.get('schemaVersion')!r}: only 2 is known"
        )
    kind = inside if isinstance(inside, str) else header
    if kind in mediatypes.INDEXES | mediatypes.MANIFESTS:
        # A manifest that is an image to one reader and an index to the other is an attack.
        if (kind in mediatypes.INDEXES) != ("manifests" in document) or (
            "layers" in document and "manifests" in document
        ):
            raise RegistryError(f"{shown(where)}: the manifest is not what its media type says ({kind})")
        return kind
    if expected is not None and isinstance(expected.get("mediaType"), str):
        return str(expected["mediaType"])
    return mediatypes.INDEX if "manifests" in document else mediatypes.MANIFEST


def open_registry(target: str | Address | Reference, options: Options | None = None) -> Registry:
    """The repository of a reference or address; raises UsageError."""
    if isinstance(target, Reference):
        target = Address(target)
    return Registry(addresses.parse(target) if isinstance(target, str) else target, options)
