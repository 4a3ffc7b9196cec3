"""Image references: `[host[:port]/]name[:tag][@digest]`, with Docker's short names.

The grammar is that of the distribution project, the rules for short names are Docker's: the first part is a host if it
has a dot, a colon or an upper-case letter, or is `localhost`; else the image is Docker Hub's, in `library/` if it has
one part only.
"""

import re
from dataclasses import dataclass, replace

from ocicommon import digest as digests
from ocicommon.errors import InvalidDigest, InvalidReference

DOCKER_HUB = "docker.io"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?", re.ASCII)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_BARE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Reference:
    """An image at a registry. `host` has the port; `path` is the repository; one of `tag` and `digest` may be both."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.path}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def familiar(self) -> str:
        """The shortest text that means the same, as Docker prints it."""
        name = self.name
        if self.host == DOCKER_HUB:
            name = self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path
        return name + self._suffix()

    def with_tag(self, tag: str) -> "Reference":
        """The same repository at `tag`, without a digest; raises InvalidReference."""
        return replace(self, tag=_checked_tag(tag, tag), digest=None)

    def with_digest(self, digest: str) -> "Reference":
        """The same repository at `digest`, without a tag; raises InvalidDigest."""
        return replace(self, tag=None, digest=digests.check(digest))

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def parse(text: str) -> Reference:
    """The reference that `text` means; tag and digest stay None where it is silent. Raises InvalidReference."""
    scheme, separator, _ = text.partition("://")
    if separator:
        raise InvalidReference(f"an image reference has no scheme: leave out {scheme[:20]!r} and '://'")
    rest, at, digest = text.partition("@")
    if at:
        try:
            digests.check(digest)
        except InvalidDigest as error:
            # What stands before the '@' may be somebody's password.
            raise InvalidReference(f"what follows the '@' of an image reference must be a digest: {error}") from None
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    name, tag = (rest, None) if colon < 0 else (rest[:colon], rest[colon + 1 :])
    if tag is not None:
        _checked_tag(tag, text)
    host, path = _split(name, text)
    if not _HOST.fullmatch(host):
        raise InvalidReference(f"{text!r} is not an image reference: {host!r} is not a host name with an optional port")
    for component in path.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise InvalidReference(
                f"{text!r} is not an image reference: {component!r} in the repository's name; use lower-case letters "
                "and digits, separated by '.', '_', '__' or '-'"
            )
    if len(host) + 1 + len(path) > _LONGEST_NAME:
        raise InvalidReference(
            f"{text[:40]!r}... is not an image reference: the name is over {_LONGEST_NAME} characters"
        )
    if not at and tag is None and _BARE_ID.fullmatch(text):
        raise InvalidReference(f"{text!r} looks like an image id, not a reference: write NAME@sha256:{text[:8]}...")
    return Reference(host, path, tag, digest or None)


def _split(name: str, text: str) -> tuple[str, str]:
    if not name:
        raise InvalidReference(f"{text!r} is not an image reference: it has no name")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    host, path = (first, rest) if is_host else (DOCKER_HUB, name)
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path and path:
        path = f"library/{path}"
    return host, path


def _checked_tag(tag: str, text: str) -> str:
    if not _TAG.fullmatch(tag):
        raise InvalidReference(
            f"{text!r} is not an image reference: {tag!r} is not a tag (letters, digits, '_', '.', '-'; at most 128)"
        )
    return tag
