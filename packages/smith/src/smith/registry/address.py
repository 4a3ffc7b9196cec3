"""Where a registry is: from a reference such as `host:5000/name:tag`, or an address with scheme, user and password."""

import ipaddress
import urllib.parse
from dataclasses import dataclass, field

from ocicommon import reference as references
from ocicommon.errors import InvalidReference
from ocicommon.reference import Reference

from smith.errors import UsageError

HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Address:
    """An image at a registry. `scheme` is None where the text was silent; user and password are never shown."""

    reference: Reference
    scheme: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Host and port to connect to."""
        host = self.reference.host
        return HUB if host == references.DOCKER_HUB else host

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where plain HTTP is nobody else's business."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return str(self.reference)


def parse(text: str) -> Address:
    """The address that `text` means; raises UsageError, which never repeats a password."""
    scheme: str | None = None
    rest = text
    if "://" in text:
        scheme, _, rest = text.partition("://")
        scheme = scheme.lower()
        if scheme not in ("http", "https", "docker"):
            raise UsageError(f"a registry's address starts with https:// or http://, not {scheme[:20]}://")
        scheme = None if scheme == "docker" else scheme
    user = password = None
    authority, slash, path = rest.partition("/")
    if "@" in authority and (scheme or slash):
        credentials, _, authority = authority.rpartition("@")
        user, _, secret = credentials.partition(":")
        user, password = urllib.parse.unquote(user), urllib.parse.unquote(secret)
    name = f"{authority}{slash}{path}" if slash else authority
    # The original's addresses name the interface's version.
    if scheme:
        path = path.removeprefix("v2/").rstrip("/")
        name = f"{authority}/{path}"
    if scheme and not _is_host(authority):
        raise UsageError(f"{authority!r} is not a registry's host name with an optional port")
    if scheme and (not slash or not path.strip("/")):
        raise UsageError(f"the address of {authority} names no repository: expected HOST/NAME[:TAG]")
    try:
        found = references.parse(name)
    except InvalidReference as error:
        raise UsageError(str(error)) from None
    if scheme and found.host != authority and found.host != references.DOCKER_HUB:
        raise UsageError(f"{name!r} is not an image reference")
    if scheme and found.host == references.DOCKER_HUB and not authority.endswith("docker.io"):
        # With a scheme the first part is the host, even if it looks like a name.
        found = references.Reference(authority, path.partition("@")[0].partition(":")[0], found.tag, found.digest)
    return Address(found, scheme, user, password)


def _is_host(authority: str) -> bool:
    try:
        references.parse(f"{authority}/x" if "." in authority or ":" in authority else f"{authority}:1/x")
    except InvalidReference:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine by its own name for itself."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """An address for messages: without user, password and query, which may be a signature."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port
