"""Proving who asks: Basic (RFC 7617), and the token servers of Docker Hub, GitHub, GitLab and their like."""

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

from smith.registry.address import origin, shown
from smith.registry.credentials import Credential
from smith.registry.errors import Denied, RegistryError, refused
from smith.registry.retry import AGAIN, Retry
from smith.registry.transport import Transport

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))', re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?=[\s,]|$)(?!\s*=)", re.ASCII)
_TOKEN_BYTES = 1 << 20
_LIFE = 60
CLIENT = "smith"


@dataclass(frozen=True)
class Challenge:
    """One way that a `WWW-Authenticate` header offers: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def challenges(header: str) -> list[Challenge]:
    """What a `WWW-Authenticate` header offers (RFC 9110 section 11.6.1)."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        while position < len(header) and header[position] in " ,\t":
            position += 1
        scheme = _SCHEME.match(header, position)
        parameter = _PARAMETER.match(header, position)
        if parameter:
            value = parameter[2] if parameter[2] is not None else parameter[3]
            if found:
                found[-1].parameters[parameter[1].lower()] = re.sub(r"\\(.)", r"\1", value)
            position = parameter.end()
        elif scheme:
            found.append(Challenge(scheme[1].lower()))
            position = scheme.end()
        else:
            position += 1
    return found


@dataclass
class _Token:
    value: str
    until: float


class Authenticator:
    """Makes `Authorization` headers for one registry. Tokens are kept per scope until shortly before they expire."""

    def __init__(
        self,
        transport: Transport,
        find: Callable[[], Credential | None],
        *,
        retry: Retry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._find = find
        self._retry = retry or Retry()
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._basic = False
        self._looked = False
        self._credential: Credential | None = None
        self._challenge: Challenge | None = None
        self._origin: tuple[str, str, int] | None = None

    @property
    def credential(self) -> Credential | None:
        """What there is for this registry, looked up at the first need."""
        if not self._looked:
            self._credential, self._looked = self._find(), True
        return self._credential

    @property
    def secrets(self) -> list[str]:
        """What messages must not show."""
        known = self._credential.secrets if self._credential else []
        return [*known, *(token.value for token in self._tokens.values())]

    def header(self, scope: str) -> str | None:
        """What to send with a request that needs `scope`, as far as it is known by now; may ask the token server."""
        with self._lock:
            if self._basic:
                return self.credential.basic if self.credential else None
            if self._challenge is None or self._origin is None:
                return None
            token = self._tokens.get(scope)
            if token is None or token.until <= self._clock():
                token = self._fetch(self._challenge, scope)
            return f"Bearer {token.value}"

    def answer(self, url: str, header: str, scope: str, sent: str | None) -> str | None:
        """What to send instead after `url` answered 401 with `header` to a request with `sent`; None if nothing.

        Raises Denied and RegistryError when the token server refuses.
        """
        offered = challenges(header)
        with self._lock:
            for challenge in offered:
                if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                    self._challenge, self._origin, self._basic = challenge, origin(url), False
                    current = self._tokens.get(scope)
                    if current is not None and sent != f"Bearer {current.value}" and current.until > self._clock():
                        return f"Bearer {current.value}"
                    return f"Bearer {self._fetch(challenge, scope, url).value}"
            for challenge in offered:
                credential = self.credential
                if challenge.scheme == "basic" and credential is not None and credential.user:
                    self._basic = True
                    return credential.basic if credential.basic != sent else None
        return None

    def _fetch(self, challenge: Challenge, scope: str, url: str = "") -> _Token:
        credential = self.credential
        if credential is not None and credential.registry_token:
            token = _Token(credential.registry_token, float("inf"))
        else:
            token = self._ask(challenge, self._scopes(challenge, scope), credential, url)
        self._tokens[scope] = token
        return token

    def _scopes(self, challenge: Challenge, scope: str) -> list[str]:
        scopes = [word for word in scope.split(" ") if word]
        return scopes or [word for word in challenge.parameters.get("scope", "").split(" ") if word]

    def _ask(self, challenge: Challenge, scopes: list[str], credential: Credential | None, url: str) -> _Token:
        realm = challenge.parameters["realm"]
        parts = urllib.parse.urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegistryError(f"the registry names a token server that is no web address: {shown(realm)[:100]!r}")
        if self._origin and self._origin[0] == "https" and parts.scheme == "http":
            raise RegistryError(f"the registry names a token server without TLS: {shown(realm)}: refused")
        service = challenge.parameters.get("service", "")
        headers = {"Accept": "application/json"}
        if credential is not None and credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": CLIENT}
            form |= {"service": service, "scope": " ".join(scopes)}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return self._exchange("POST", realm, headers, urllib.parse.urlencode(form).encode())
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        query += [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if credential is not None and credential.user:
            query.append(("account", credential.user))
            headers["Authorization"] = credential.basic
        query.append(("client_id", CLIENT))
        asked = urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))
        return self._exchange("GET", asked, headers, None)

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> _Token:
        for attempt in range(1, self._retry.attempts + 1):
            if body is None:
                response = self._retry.run(lambda: self._transport.follow(method, url, headers))
            else:
                response = self._retry.run(lambda: self._transport.request(method, url, headers, body))
            if response.status in AGAIN and attempt < self._retry.attempts:
                wish = response.headers.get("Retry-After")
                response.close()
                self._retry.pause(attempt, wish)
                continue
            break
        if response.status != 200:
            error = refused(method, shown(url), response.status, response.start(), self.secrets)
            response.close()
            if isinstance(error, Denied):
                raise Denied(f"{shown(url)}: the token server refused the user or password (answer {response.status})")
            raise error
        try:
            answer = json.loads(response.read(_TOKEN_BYTES))
            token = answer.get("token") or answer.get("access_token")
            life = answer.get("expires_in") or _LIFE
        except (ValueError, AttributeError, RecursionError):
            token = life = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryError(f"{shown(url)}: the token server's answer has no token")
        life = float(life) if isinstance(life, int | float) else float(_LIFE)
        # A token that ends while its request is on the way is refused; one that is renewed early costs one request.
        return _Token(token, self._clock() + life * 0.8)
