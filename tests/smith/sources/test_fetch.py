"""Fetching from servers that behave, and from servers that do not."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from smith.cache import Cache
from smith.errors import SmithError, VerificationError
from smith.fetch import Fetcher, NotFoundError, in_parallel, redacted

DATA = b"data" * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def fetcher(cache: Cache) -> Fetcher:
    return Fetcher(cache, pause=0.01)


@pytest.fixture
def raw() -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """raw(answer, answer, ...) -> (address, requests): a server that gives these bytes, one a connection."""
    listeners: list[socket.socket] = []

    def start(*answers: bytes) -> tuple[str, list[bytes]]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        seen: list[bytes] = []

        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        data = connection.recv(65536)
                        if not data:
                            break
                        request += data
                    seen.append(request)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", seen

    yield start
    for listener in listeners:
        listener.close()


def answer(status: str, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_file_is_fetched_once(fetcher: Fetcher, serve: Any, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a b+c~").write_bytes(DATA)
    served = serve(tmp_path / "served")
    for _ in range(2):
        assert fetcher.fetch(f"{served.url}/a b+c~", SHA256, len(DATA)) == SHA256
    assert len(served.asked) == 1
    assert fetcher.fetch(f"file://{tmp_path}/served/a%20b+c~") == SHA256


@pytest.mark.parametrize("first", ["503 Busy", "500 Broken", "429 Slow down"])
def test_a_passing_failure_is_tried_again(fetcher: Fetcher, raw: Any, first: str) -> None:
    url, seen = raw(answer(first, Retry_After="0"), answer("200 OK", DATA))
    assert fetcher.fetch(url, SHA256, len(DATA)) == SHA256
    assert len(seen) == 2


def test_a_cut_connection_begins_again(fetcher: Fetcher, raw: Any) -> None:
    url, _ = raw(answer("200 OK", DATA[:100], len(DATA)), b"", answer("200 OK", DATA))
    assert fetcher.fetch(url, SHA256, len(DATA)) == SHA256


def test_a_server_that_never_recovers_is_one_error(fetcher: Fetcher, raw: Any) -> None:
    url, seen = raw(*[answer("503 Busy")] * 9)
    with pytest.raises(SmithError, match=r"answers HTTP 503 \(4 tries\)"):
        fetcher.fetch(url, SHA256)
    assert len(seen) == 4


def test_what_is_not_there_is_not_tried_again(fetcher: Fetcher, raw: Any) -> None:
    url, seen = raw(answer("404 Not Found"), answer("200 OK", DATA))
    with pytest.raises(NotFoundError, match="not found"):
        fetcher.fetch(url, SHA256)
    assert len(seen) == 1
    with pytest.raises(NotFoundError, match="no such file"):
        fetcher.fetch("file:///nonexistent/x")


@pytest.mark.parametrize(
    "reply", [answer("200 OK", DATA + b"more"), answer("200 OK", DATA[:-1]), answer("200 OK", DATA[:-1] + b"x")]
)
def test_wrong_bytes_are_refused_and_not_kept(fetcher: Fetcher, raw: Any, reply: bytes) -> None:
    url, _ = raw(reply)
    with pytest.raises(SmithError):
        fetcher.fetch(url, SHA256, len(DATA))
    assert not fetcher.cache.has(SHA256)


def test_a_document_without_end_is_cut_off(fetcher: Fetcher, raw: Any) -> None:
    url, _ = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1 << 20))
    with pytest.raises(SmithError, match="more than the promised 1000 bytes"):
        fetcher.read(url, limit=1000)


def test_redirects_are_followed_but_not_for_ever(fetcher: Fetcher, raw: Any) -> None:
    target, _ = raw(answer("200 OK", DATA))
    url, _ = raw(answer("302 Found", Location=target))
    assert fetcher.fetch(url, SHA256) == SHA256
    loop, seen = raw(*[answer("302 Found", Location="/again")] * 20)
    with pytest.raises(SmithError, match="more than 8 redirects"):
        fetcher.fetch(f"{loop}/x", "1" * 64)
    assert len(seen) == 8


def test_credentials_stay_with_their_host_and_out_of_messages(fetcher: Fetcher, raw: Any) -> None:
    target, seen_there = raw(answer("403 Forbidden"))
    url, seen_here = raw(answer("302 Found", Location=target))
    with pytest.raises(SmithError) as caught:
        fetcher.fetch(url.replace("http://", "http://user:secret@"), SHA256)
    assert b"Authorization: Basic dXNlcjpzZWNyZXQ=" in seen_here[0]
    assert b"Authorization" not in seen_there[0]
    assert "secret" not in str(caught.value)
    assert redacted("https://user:secret@host:8/x?y") == "https://host:8/x?y"


def test_a_redirect_from_https_to_http_is_refused_before_it_is_followed(fetcher: Fetcher) -> None:
    fetcher._request = lambda *_: "http://127.0.0.1:9/x"  # type: ignore[method-assign]
    with pytest.raises(SmithError, match="from https to http"):
        fetcher.fetch("https://example.org/x", SHA256)


@pytest.mark.parametrize("url", ["ftp://example.org/x", "nothing", "http:///x"])
def test_other_addresses_are_refused(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(SmithError, match="not an address that can be fetched"):
        fetcher.fetch(url, SHA256)


def test_a_proxy_is_used_for_http(fetcher: Fetcher, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url, seen = raw(answer("200 OK", DATA))
    monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:secret@"))
    assert fetcher.fetch("http://mirror.invalid/debian/x", SHA256) == SHA256
    assert seen[0].startswith(b"GET http://mirror.invalid/debian/x HTTP/1.1")
    assert b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]


def test_a_proxy_is_asked_for_a_tunnel_for_https(fetcher: Fetcher, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url, seen = raw(*[answer("407 Proxy Authentication Required")] * 4)
    monkeypatch.setenv("https_proxy", url)
    with pytest.raises(SmithError, match="407"):
        fetcher.fetch("https://mirror.invalid/debian/x", SHA256)
    assert seen[0].startswith(b"CONNECT mirror.invalid:443 HTTP/1.")


def test_the_first_failure_of_several_ends_them_all() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise VerificationError("first")
        return number

    assert in_parallel(lambda n: n * 2, [1, 2, 3], 2) == [2, 4, 6]
    with pytest.raises(VerificationError, match="first"):
        in_parallel(work, list(range(500)), 1)
    assert begun == [0]


def test_a_failure_ends_the_transfers_under_way(fetcher: Fetcher, raw: Any) -> None:
    """The slow one sends for ever: without the stop this would not return."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1 << 20))
            try:
                while True:
                    connection.sendall(bytes(1 << 16))
            except OSError:
                return

    threading.Thread(target=drip, daemon=True).start()
    slow = f"http://127.0.0.1:{listener.getsockname()[1]}/slow"
    missing, _ = raw(answer("404 Not Found"))
    with listener, pytest.raises(NotFoundError):
        fetcher.fetch_all([(slow, "1" * 64, None), (missing, "2" * 64, None)])
    assert not fetcher.cache.has("1" * 64)
