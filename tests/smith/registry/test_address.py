"""Addresses of registries: references, and the original's URLs with user and password."""

import email.utils
import time

import pytest
from smith.errors import UsageError
from smith.registry import address, parse, retry
from smith.registry.errors import explained, refused


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "scheme", "user", "password"),
    [
        ("nginx", "registry-1.docker.io", "library/nginx", None, None, None, None),
        ("host:5000/a/b:t", "host:5000", "a/b", "t", None, None, None),
        ("https://host/a:t", "host", "a", "t", "https", None, None),
        ("https://myregistry/a/b", "myregistry", "a/b", None, "https", None, None),
        ("http://user:p%40ss@host:5000/a/b:t", "host:5000", "a/b", "t", "http", "user", "p@ss"),
        ("https://user:pa:ss@host/a", "host", "a", None, "https", "user", "pa:ss"),
        ("https://user@host/a", "host", "a", None, "https", "user", ""),
        ("user:pass@host.com/a:b", "host.com", "a", "b", None, "user", "pass"),
        ("https://host/v2/a/b:t", "host", "a/b", "t", "https", None, None),
        ("https://docker.io/nginx", "registry-1.docker.io", "library/nginx", None, "https", None, None),
        ("https://registry-1.docker.io/user/app:t", "registry-1.docker.io", "user/app", "t", "https", None, None),
        ("docker://ghcr.io/a/b", "ghcr.io", "a/b", None, None, None, None),
        ("http://[::1]:5000/a", "[::1]:5000", "a", None, "http", None, None),
    ],
)
def test_address_is_parsed(
    text: str, host: str, path: str, tag: str | None, scheme: str | None, user: str | None, password: str | None
) -> None:
    found = parse(text)
    assert (found.host, found.reference.path, found.reference.tag, found.scheme) == (host, path, tag, scheme)
    assert (found.user, found.password) == (user, password)
    if password:
        assert password not in repr(found)
        assert password not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://host/a", "https://host", "https://host/", "https:///a", "https://ho st/a", "https://u:secret@/a"),
        *("https://u:secret@host/UPPER", "u:secret@host.com/UPPER", "https://u:secret@host:port/a", ""),
    ],
)
def test_other_addresses_are_refused_without_repeating_the_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("a.localhost", True),
        ("127.0.0.1:5000", True),
        ("127.3.2.1", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("[::2]", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert address.is_loopback(host) is expected


def test_shown_addresses_have_no_secrets() -> None:
    assert address.shown("https://u:p@h:1/path?signature=x#f") == "https://h:1/path"


def test_origins_include_the_port() -> None:
    assert address.origin("https://H/a") == ("https", "h", 443)
    assert address.origin("http://h/a") == ("http", "h", 80)
    assert address.origin("http://h:81/a") != address.origin("http://h/a")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}', "DENIED: no; X"),
        (b"plain \x1b[31m words", "plain  [31m words"),
        (b'{"errors":7}', '{"errors":7}'),
        (b"x" * 1000, "x" * 300 + "..."),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_error_bodies_become_short_text(body: bytes, text: str) -> None:
    assert explained(body) == text


def test_secrets_that_a_registry_sends_back_are_hidden() -> None:
    error = refused("GET", "http://h/", 500, b"bad token abc123", ["abc123"])
    assert "abc123" not in str(error)


def test_retry_after() -> None:
    assert retry.seconds(None) is None
    assert retry.seconds("") is None
    assert retry.seconds("soon") is None
    assert retry.seconds(" 12 ") == 12.0
    assert retry.seconds("-3") is None
    assert retry.seconds("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    later = retry.seconds(email.utils.formatdate(time.time() + 1_000_000, usegmt=True))
    assert later is not None
    assert 0 < later <= 1_000_001


def test_pauses_grow_up_to_a_limit() -> None:
    waits: list[float] = []
    policy = retry.Retry(attempts=9, sleep=waits.append)
    for attempt in range(1, 9):
        policy.pause(attempt)
    assert all(
        0.75 * nominal <= wait <= 1.25 * nominal
        for wait, nominal in zip(waits, [0.5, 1, 2, 4, 8, 8, 8, 8], strict=True)
    )
