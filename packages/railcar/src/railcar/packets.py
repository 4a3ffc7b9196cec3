"""What `import railcar` and its helper say to each other: a JSON document and descriptors, in one packet."""

import os

from ocicommon.linux.files import sealed_memfd
from ocicommon.linux.sockets import receive_fds, send_fds

from railcar import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence
    from typing import Any

_LARGEST = 1 << 13
_ELSEWHERE = b"+"  # in the place of a document that is longer: it is in a file, the last descriptor


def send(sock: "socket", document: "dict[str, Any]", descriptors: "Sequence[int]" = ()) -> None:
    """Send one, whole, to a socket of type SOCK_SEQPACKET. Raises OSError when nobody is there."""
    data = documents.compact(document).encode("utf-8", "surrogateescape")
    if len(data) <= _LARGEST:
        send_fds(sock, data, descriptors)
        return
    file = sealed_memfd("railcar", data, executable=False)
    try:
        send_fds(sock, _ELSEWHERE, [*descriptors, file])
    finally:
        os.close(file)


def receive(sock: "socket") -> "tuple[dict[str, Any] | None, list[int]]":
    """(document, descriptors); None at the end of the connection. Raises OSError."""
    data, descriptors = receive_fds(sock, _LARGEST)
    if not data:
        return None, descriptors
    if data == _ELSEWHERE:
        file = descriptors.pop()
        try:
            data = os.pread(file, os.fstat(file).st_size, 0)
        finally:
            os.close(file)
    return documents.parse(data, "packet"), descriptors
