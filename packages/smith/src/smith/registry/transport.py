"""HTTP/1.1 over the standard library: kept connections, streamed bodies, redirects that carry no credentials away."""

import http.client
import os
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from smith.errors import UsageError
from smith.registry.address import is_loopback, origin, shown
from smith.registry.errors import SHOWN, Broken, RegistryError

TIMEOUT = 60.0
REDIRECTS = 8
CHUNK = 1 << 18
DRAINED = 1 << 16
AGENT = "smith"
_MOVED = (301, 302, 303, 307, 308)


class Body(Protocol):
    """What is sent: `size` bytes, which can be read again from the start for another try."""

    size: int

    def chunks(self) -> Iterator[bytes]: ...


class Response:
    """An answer whose body is still on its way. `close` gives the connection back if the body was read, or ends it."""

    def __init__(self, raw: http.client.HTTPResponse, url: str, release: Callable[[bool], None]) -> None:
        self.status = raw.status
        self.headers = raw.headers
        self.url = url
        self._raw = raw
        self._release: Callable[[bool], None] | None = release

    @property
    def length(self) -> int | None:
        """Bytes of the body as its header has it."""
        return self._raw.length

    def readinto(self, buffer: memoryview) -> int:
        """Bytes of the body into `buffer`; 0 at its end. Raises Broken when the connection is cut before."""
        try:
            count = self._raw.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise broken(error, "reading", self.url) from None
        except AttributeError:
            # The connection was ended by another thread.
            raise Broken(f"{shown(self.url)}: interrupted") from None
        if count == 0 and self._raw.length:
            raise Broken(f"{shown(self.url)}: the connection ended {self._raw.length} bytes too early")
        return count

    def read(self, limit: int) -> bytes:
        """The whole body, which must not have more than `limit` bytes. Raises RegistryError, Broken."""
        if (self.length or 0) > limit:
            raise RegistryError(f"{shown(self.url)}: the answer is longer than {limit} bytes")
        pieces: list[bytes] = []
        room = memoryview(bytearray(min(limit + 1, CHUNK)))
        total = 0
        while count := self.readinto(room):
            total += count
            if total > limit:
                raise RegistryError(f"{shown(self.url)}: the answer is longer than {limit} bytes")
            pieces.append(bytes(room[:count]))
        self.close()
        return b"".join(pieces)

    def start(self, limit: int = 8192) -> bytes:
        """The first bytes of the body, for an error message; failures are no further error."""
        room = memoryview(bytearray(limit))
        have = 0
        try:
            while have < limit and (count := self.readinto(room[have:])):
                have += count
        except Broken:
            return bytes(room[:have])
        return bytes(room[:have])

    def close(self) -> None:
        release, self._release = self._release, None
        if release is None:
            return
        if self._raw.length and self._raw.length <= DRAINED:
            self.start(DRAINED)
        finished = self._raw.isclosed() or self._raw.length == 0
        self._raw.close()
        release(finished)

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def broken(error: Exception, doing: str, url: str) -> RegistryError:
    """A failure of the connection as an error of this package; certificates and nonsense are not tried again."""
    where = shown(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryError(
            f"{where}: its certificate is not trusted ({error.verify_message}): name its authority with --cacert, "
            "or use -k to trust anyone"
        )
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return RegistryError(f"{where}: speaks no TLS: write http:// before the address if plain HTTP is meant")
    if isinstance(error, socket.gaierror):
        return RegistryError(f"{where}: no such host ({error.strerror})")
    if isinstance(error, ConnectionRefusedError):
        return RegistryError(f"{where}: nothing listens there (connection refused)")
    if isinstance(error, TimeoutError):
        return Broken(f"{where}: nothing came in time while {doing}")
    if isinstance(error, http.client.LineTooLong) or "headers" in str(error):
        return RegistryError(f"{where}: the answer's headers are too large")
    if isinstance(error, OSError):
        return Broken(f"{where}: the connection failed while {doing}: {error.strerror or error}")
    # What is no HTTP is repeated in the error: as one short line.
    said = "".join(char if char.isprintable() else " " for char in str(error))[:SHOWN].strip()
    return Broken(f"{where}: the connection ended while {doing}: {said or type(error).__name__}")


def tls(cacert: str | os.PathLike[str] | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """What is trusted: the system's authorities and those in the PEM file `cacert`; or anyone. Raises UsageError."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's own: curl, apt and docker trust what it refuses
    if cacert is not None:
        try:
            context.load_verify_locations(cafile=cacert)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{os.fspath(cacert)}: cannot use it as certificates of authorities: {error}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Transport:
    """Connections to any number of hosts. Safe for several threads."""

    def __init__(self, context: ssl.SSLContext, *, timeout: float = TIMEOUT) -> None:
        self.context = context
        self.timeout = timeout
        self._idle: dict[tuple[str, str, int], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._aborted = threading.Event()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def abort(self) -> None:
        """Ends every connection, also those that other threads wait at; their requests fail, and so do new ones."""
        with self._lock:
            self._aborted.set()
            busy = list(self._busy)
        for connection in busy:
            try:
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def pause(self, seconds: float) -> None:
        """Waits, but not beyond `abort`."""
        self._aborted.wait(seconds)

    def request(self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None = None) -> Response:
        """One request and the start of its answer, whatever its status. Redirects are not followed.

        Raises Broken when the connection fails, RegistryError when it makes no sense to try again.
        """
        place = origin(url)
        while True:
            connection, used = self._take(place)
            with self._lock:
                if self._aborted.is_set():
                    connection.close()
                    raise RegistryError(f"{shown(url)}: interrupted")
                self._busy.add(connection)
            try:
                return self._exchange(connection, method, url, headers, body, place)
            except (OSError, http.client.HTTPException) as error:
                self._done(connection, None)
                # The server may have closed a kept connection while it was idle: that is no failure. A PATCH may have
                # been taken all the same, and its sender has to ask how much.
                gone = isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
                if used and gone and method != "PATCH":
                    continue
                raise broken(error, "asking", url) from None
            except BaseException:
                self._done(connection, None)
                raise

    def follow(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        """A request without body, with redirects followed; `Authorization` stays with the origin it was made for."""
        home = origin(url)
        sent = dict(headers)
        for _ in range(REDIRECTS + 1):
            response = self.request(method, url, sent)
            location = response.headers.get("Location")
            if response.status not in _MOVED or not location:
                return response
            response.close()
            url = self.moved(url, location)
            if origin(url) != home:
                sent.pop("Authorization", None)
        raise RegistryError(f"{method} {shown(url)}: redirected more than {REDIRECTS} times")

    def moved(self, url: str, location: str) -> str:
        """The address that `location` means in an answer from `url`. Raises RegistryError for one not to be trusted."""
        try:
            target = urllib.parse.urljoin(url, location)
            scheme, host, _ = origin(target)
        except ValueError:
            raise RegistryError(f"{shown(url)}: sent an address that is none") from None
        if scheme not in ("http", "https") or not host or any(ord(char) <= 32 or ord(char) > 126 for char in target):
            raise RegistryError(f"{shown(url)}: sent an address that is none of the web")
        if scheme == "http" and url.startswith("https:"):
            raise RegistryError(f"{shown(url)}: leads from HTTPS to plain HTTP ({shown(target)}): refused")
        return target

    def _take(self, place: tuple[str, str, int]) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(place)
            if idle:
                return idle.pop(), True
        scheme, host, port = place
        proxy = self._proxy(scheme, host)
        where, at = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        connection: http.client.HTTPConnection
        if scheme == "https":
            connection = http.client.HTTPSConnection(where, at, timeout=self.timeout, context=self.context)
            if proxy:
                connection.set_tunnel(host, port)
        else:
            connection = http.client.HTTPConnection(where, at, timeout=self.timeout)
        return connection, False

    def _proxy(self, scheme: str, host: str) -> urllib.parse.SplitResult | None:
        if is_loopback(f"[{host}]" if ":" in host else host) or urllib.request.proxy_bypass(host):
            return None
        proxy = urllib.request.getproxies().get(scheme)
        if not proxy:
            return None
        return urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
        place: tuple[str, str, int],
    ) -> Response:
        parts = urllib.parse.urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if place[0] == "http" and self._proxy(place[0], place[1]):
            target = urllib.parse.urlunsplit(parts._replace(fragment=""))
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("User-Agent", AGENT)
        for name, value in headers.items():
            connection.putheader(name, value)
        size = 0 if body is None else len(body) if isinstance(body, bytes) else body.size
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(size))
        self._send(connection, body)
        raw = connection.getresponse()

        def release(finished: bool) -> None:
            self._done(connection, place if finished and not raw.will_close else None)

        return Response(raw, url, release)

    def _done(self, connection: http.client.HTTPConnection, place: tuple[str, str, int] | None) -> None:
        """Keeps the connection for the next request to `place`, or ends it."""
        with self._lock:
            self._busy.discard(connection)
            if place is not None and not self._aborted.is_set():
                self._idle.setdefault(place, []).append(connection)
                return
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, body: Body | bytes | None) -> None:
        if body is None or isinstance(body, bytes):
            connection.endheaders(body or None)
            return
        connection.endheaders()
        chunks = body.chunks()
        while True:
            chunk = next(chunks, b"")
            if not chunk:
                return
            try:
                connection.send(chunk)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses answers before it has read everything: its answer says why.
                return
