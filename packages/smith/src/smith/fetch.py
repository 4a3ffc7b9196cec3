"""Fetching files by http, https and file addresses: retries, proxies, progress, the checksum while it streams.

Connections are kept open per thread and host (RFC 9112 section 9.3). Credentials are sent to the host that they
were given for and never follow a redirect to another one.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from smith.cache import CHUNK, Cache
from smith.errors import SmithError
from smith.progress import Progress, Silent

_TRIES = 4
_REDIRECTS = 8
_LONGEST_WAIT = 30.0
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH}
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_Result = TypeVar("_Result")


class NotFoundError(SmithError):
    """The server answered 404 or 410, or the file does not exist."""


class _Sink(Protocol):
    def write(self, data: bytes) -> None: ...
    def restart(self) -> None: ...


class _Broken(Exception):
    """A transfer failed in a way that may pass."""

    def __init__(self, reason: str, wait: float | None = None, tries: int = _TRIES) -> None:
        super().__init__(reason)
        self.wait = wait
        self.tries = tries


def redacted(url: str) -> str:
    """The address without user and password."""
    parts = urllib.parse.urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@dataclass
class Fetcher:
    """Fetches into a cache. Safe for several threads.

    `credentials` maps a host to (user, password), `user` is such a pair for the host that an address names itself (not
    for one that it redirects to); `client_certificates` maps an address prefix to (certificate, key) files. With `fast`
    what repositories said last is taken without asking for news.
    """

    cache: Cache
    progress: Progress = field(default_factory=Silent)
    timeout: float = 30.0
    pause: float = 0.5
    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    client_certificates: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    ca_file: str | None = None
    verify_tls: bool = True
    proxies: Mapping[str, str] = field(default_factory=dict)
    user: tuple[str, str] | None = None
    fast: bool = False

    def __post_init__(self) -> None:
        self._local = threading.local()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End every transfer under way in other threads, with an error there."""
        self._stopped.set()

    def fetch(self, url: str, sha256: str | None = None, size: int | None = None) -> str:
        """Bring one file into the cache, unless it is there, and return its SHA-256.

        Raises NotFoundError, or SmithError for everything else: no network, a wrong checksum, a wrong length.
        """
        if sha256 is not None and self.cache.has(sha256, size):
            return sha256
        with self.cache.incoming(sha256, size=size, subject=redacted(url)) as blob:
            self.stream(url, blob, limit=size)
        return blob.sha256

    def read(self, url: str, limit: int = 64 << 20) -> bytes:
        """A small file, without the cache. Raises SmithError if it has more than `limit` bytes."""
        sink = _Memory()
        self.stream(url, sink, limit=limit)
        return bytes(sink.data)

    def news(self, url: str, limit: int = 64 << 20) -> bytes:
        """A small file that changes, such as a release file: asked for anew, unless `fast` and remembered."""
        known = self.cache.recall("news-1", _key(url)) if self.fast else None
        return known if known is not None else self.read(url, limit)

    def remember(self, url: str, data: bytes) -> None:
        """Keep, for `fast`, a file that was read by `news` and found right."""
        self.cache.remember("news-1", _key(url), data)

    def fetch_all(self, items: Iterable[tuple[str, str | None, int | None]], threads: int = 6) -> list[str]:
        """Fetch (url, sha256, size) triples in parallel; the SHA-256 of each, in the order given."""
        return in_parallel(lambda item: self.fetch(*item), list(items), threads, self.stop)

    def stream(self, url: str, sink: _Sink, limit: int | None = None) -> None:
        """Write what `url` names into `sink`, beginning again after a passing failure."""
        for attempt in range(1, _TRIES + 1):
            try:
                self._once(url, sink, limit)
                return
            except _Broken as broken:
                if attempt >= broken.tries:
                    raise SmithError(f"{redacted(url)}: {broken} ({attempt} tries)") from None
                wait = broken.wait if broken.wait is not None else self.pause * 2 ** (attempt - 1)
            sink.restart()
            time.sleep(min(wait, _LONGEST_WAIT))

    def _once(self, url: str, sink: _Sink, limit: int | None) -> None:
        here = url
        for _ in range(_REDIRECTS):
            parts = urllib.parse.urlsplit(here)
            if parts.scheme == "file":
                return self._copy(here, urllib.parse.unquote(parts.path), sink)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise SmithError(f"{redacted(here)}: not an address that can be fetched (http, https and file are)")
            onward = self._request(url, here, parts, sink, limit)
            if onward is None:
                return None
            if parts.scheme == "https" and urllib.parse.urlsplit(onward).scheme != "https":
                raise SmithError(f"{redacted(here)}: redirects from https to {redacted(onward)}, which is refused")
            here = onward
        raise SmithError(f"{redacted(url)}: more than {_REDIRECTS} redirects")

    def _request(
        self, origin: str, url: str, parts: urllib.parse.SplitResult, sink: _Sink, limit: int | None
    ) -> str | None:
        connection, target = self._connection(url, parts)
        try:
            connection.request("GET", target, headers=self._headers(origin, parts))
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                response.read(CHUNK)
                location = response.headers.get("Location")
                if not location:
                    raise SmithError(f"{redacted(url)}: redirects to nowhere")
                return urllib.parse.urljoin(url, location)
            self._check(url, response)
            self._body(url, response, sink, limit)
        except (http.client.HTTPException, OSError) as error:
            self._drop(parts)
            if isinstance(error, ssl.SSLCertVerificationError):
                raise SmithError(
                    f"{redacted(url)}: the server's certificate is not trusted: {error.verify_message}"
                ) from None
            kinds = (ConnectionRefusedError, socket.gaierror, TimeoutError)
            unreachable = isinstance(error, kinds) or getattr(error, "errno", 0) in _UNREACHABLE
            raise _Broken(_reason(error), tries=2 if unreachable else _TRIES) from None
        except BaseException:
            self._drop(parts)
            raise
        return None

    def _check(self, url: str, response: http.client.HTTPResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status in (404, 410):
            raise NotFoundError(f"{redacted(url)}: not found (HTTP {status})")
        if status in (401, 403):
            raise SmithError(
                f"{redacted(url)}: the server refuses (HTTP {status}); are credentials or a certificate missing?"
            )
        if status in _AGAIN:
            after = response.headers.get("Retry-After", "")
            raise _Broken(f"the server answers HTTP {status}", float(after) if after.isdecimal() else None)
        raise SmithError(f"{redacted(url)}: the server answers HTTP {status} {response.reason}")

    def _body(self, url: str, response: http.client.HTTPResponse, sink: _Sink, limit: int | None) -> None:
        total = response.length
        if limit is not None and total is not None and total > limit:
            raise SmithError(f"{redacted(url)}: the server sends {total} bytes where at most {limit} were promised")
        done = 0
        label = redacted(url)
        task = self.progress.start(label.rpartition("/")[2] or label, total)
        try:
            while data := response.read(CHUNK):
                done += len(data)
                if limit is not None and done > limit:
                    raise SmithError(f"{label}: the server sends more than the promised {limit} bytes")
                if self._stopped.is_set():
                    raise SmithError(f"{label}: stopped")
                sink.write(data)
                task.advance(len(data))
        finally:
            task.done()
        if total is not None and done != total:
            raise _Broken(f"the connection ended after {done} of {total} bytes")

    def _copy(self, url: str, path: str, sink: _Sink) -> None:
        try:
            with open(path, "rb") as stream:
                while data := stream.read(CHUNK):
                    sink.write(data)
        except FileNotFoundError:
            raise NotFoundError(f"{url}: no such file") from None
        except OSError as error:
            raise SmithError(f"{url}: {error.strerror}") from None

    def _headers(self, origin: str, parts: urllib.parse.SplitResult) -> dict[str, str]:
        headers = {"User-Agent": "smith", "Accept": "*/*", "Accept-Encoding": "identity"}
        pair = self.credentials.get(parts.hostname or "")
        first = urllib.parse.urlsplit(origin)
        if self.user is not None and (first.scheme, first.netloc) == (parts.scheme, parts.netloc):
            pair = self.user
        if first.username is not None and (first.scheme, first.hostname, first.port) == (
            parts.scheme,
            parts.hostname,
            parts.port,
        ):
            pair = (urllib.parse.unquote(first.username), urllib.parse.unquote(first.password or ""))
        if pair is not None:
            headers["Authorization"] = _basic(*pair)
        if parts.scheme == "http" and (via := self._proxy(parts)) is not None:
            headers |= _proxy_headers(via)
        return headers

    def _proxy(self, parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
        """The proxy for an address, by the environment (http_proxy, no_proxy), else by `proxies`."""
        if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxy = urllib.request.getproxies().get(parts.scheme) or self.proxies.get(parts.scheme)
        return urllib.parse.urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None

    def _connection(self, url: str, parts: urllib.parse.SplitResult) -> tuple[http.client.HTTPConnection, str]:
        host = parts.hostname or ""
        via = self._proxy(parts)
        target = urllib.parse.quote(parts.path or "/", safe="/%:=&~+,;@!$*'()") + (
            f"?{parts.query}" if parts.query else ""
        )
        if via is not None and parts.scheme == "http":
            bare = parts.netloc.rpartition("@")[2]
            target = f"http://{bare}{target}"
        connections: dict[tuple[str, str, int | None], http.client.HTTPConnection] = self._local.__dict__.setdefault(
            "open", {}
        )
        key = (parts.scheme, host, parts.port)
        connection = connections.get(key)
        if connection is None:
            connection = self._connect(url, parts, via)
            connections[key] = connection
        return connection, target

    def _connect(
        self, url: str, parts: urllib.parse.SplitResult, via: urllib.parse.SplitResult | None
    ) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            if via is not None:
                return http.client.HTTPConnection(via.hostname or "", via.port or 3128, timeout=self.timeout)
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = self._tls(url)
        if via is not None:
            tunnel = http.client.HTTPSConnection(
                via.hostname or "", via.port or 3128, timeout=self.timeout, context=context
            )
            tunnel.set_tunnel(host, port or 443, _proxy_headers(via))
            return tunnel
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)

    def _tls(self, url: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's own: curl, apt and docker trust what it refuses
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for prefix, (certificate, key) in self.client_certificates.items():
            if url.startswith(prefix):
                context.load_cert_chain(certificate, key)
        return context

    def _drop(self, parts: urllib.parse.SplitResult) -> None:
        connections = self._local.__dict__.get("open", {})
        connection = connections.pop((parts.scheme, parts.hostname or "", parts.port), None)
        if connection is not None:
            connection.close()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _proxy_headers(via: urllib.parse.SplitResult) -> dict[str, str]:
    if via.username is None:
        return {}
    pair = urllib.parse.unquote(via.username), urllib.parse.unquote(via.password or "")
    return {"Proxy-Authorization": _basic(*pair)}


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


class _Memory:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def restart(self) -> None:
        self.data.clear()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection: {error.strerror}"
    if isinstance(error, OSError) and str(error):
        return f"no connection: {error}"
    return f"the answer broke off ({type(error).__name__})"


_Item = TypeVar("_Item")


def in_parallel(
    work: Callable[[_Item], _Result], items: list[_Item], threads: int, stop: Callable[[], None] | None = None
) -> list[_Result]:
    """`work` on every item by a few threads; results in order.

    The first failure (or ctrl-C) stops what has not begun yet, and by `stop` what is under way.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    failures: list[BaseException] = []

    def one(item: _Item) -> _Result | None:
        if failures:
            return None
        try:
            return work(item)
        except BaseException as error:
            failures.append(error)
            if stop is not None:
                stop()
            raise

    pool = ThreadPoolExecutor(min(threads, len(items)))
    try:
        futures = [pool.submit(one, item) for item in items]
        wait(futures, return_when=FIRST_EXCEPTION)
    except BaseException as error:
        failures.append(error)
        if stop is not None:
            stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise failures[0]
    return [cast(_Result, future.result()) for future in futures]
