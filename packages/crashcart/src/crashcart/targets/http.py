"""GET over a Unix socket: the engine's own API, without the start of http.client. RFC 9112; HTTP/1.0 is enough."""

from __future__ import annotations

import _socket  # socket would import enum and selectors, which no entry needs

from crashcart.errors import CrashcartError

_TIMEOUT = 10.0
_LIMIT = 64 << 20


def get(socket_path: str, target: str) -> tuple[int, bytes]:
    """(status, body). OSError when nobody listens, CrashcartError when the answer is no HTTP."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.settimeout(_TIMEOUT)
        sock.connect(socket_path)
        # HTTP/1.0: the answer ends with the connection, and is never chunked.
        sock.send(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
        parts = []
        size = 0
        while part := sock.recv(1 << 16):
            parts.append(part)
            size += len(part)
            if size > _LIMIT:
                raise CrashcartError(f"the answer of {socket_path} to {target} is longer than {_LIMIT} bytes")
    finally:
        sock.close()
    return parse(b"".join(parts), socket_path)


def parse(answer: bytes, who: str) -> tuple[int, bytes]:
    """(status, body) of a whole HTTP answer."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not blank or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise CrashcartError(f"{who} does not speak HTTP")
    return int(words[1]), body


def quote(text: str) -> str:
    """Percent-encode one path segment."""
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~-"
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
