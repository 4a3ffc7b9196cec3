"""As much of the D-Bus protocol as a few calls to systemd take:
https://dbus.freedesktop.org/doc/dbus-specification.html

Values are Python's: int, bool, str, list, tuple for structs, and ``(signature, value)`` for variants.
"""

import _socket
import os
import time
from _struct import pack, unpack_from

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
FIELD_TYPES = {
    PATH: "o",
    INTERFACE: "s",
    MEMBER: "s",
    ERROR_NAME: "s",
    REPLY_SERIAL: "u",
    DESTINATION: "s",
    SIGNATURE: "g",
}
# type -> (struct format, size, which is its alignment)
NUMBERS = {
    "y": ("B", 1),
    "b": ("I", 4),
    "n": ("h", 2),
    "q": ("H", 2),
    "i": ("i", 4),
    "u": ("I", 4),
    "x": ("q", 8),
    "t": ("Q", 8),
    "d": ("d", 8),
}
# seconds to wait for an answer, and for a unit's job
PATIENCE = 60.0
LARGEST = 1 << 27


def first_type(signature: str) -> str:
    """The first complete type of a signature."""
    if signature[0] == "a":
        return "a" + first_type(signature[1:])
    if signature[0] not in "({":
        return signature[0]
    depth = 0
    for index, letter in enumerate(signature):
        depth += (letter in "({") - (letter in ")}")
        if not depth:
            return signature[: index + 1]
    raise ValueError(f"the D-Bus signature {signature!r} does not end")


def alignment(kind: str) -> int:
    """Where a value of a type must begin, in bytes."""
    if kind[0] in NUMBERS:
        return NUMBERS[kind[0]][1]
    return {"(": 8, "{": 8, "g": 1, "v": 1}.get(kind[0], 4)


def pad(data: bytearray, size: int) -> None:
    """Fill with zeros up to a multiple."""
    data.extend(bytes(-len(data) % size))


def put(data: bytearray, signature: str, values: "list[Any]") -> None:
    """Append values of a signature to a message body."""
    for value in values:
        kind = first_type(signature)
        signature = signature[len(kind) :]
        _put_one(data, kind, value)


def _put_one(data: bytearray, kind: str, value: "Any") -> None:
    pad(data, alignment(kind))
    letter = kind[0]
    if letter in NUMBERS:
        data += pack("<" + NUMBERS[letter][0], value)
    elif letter in "so":
        text = value.encode("utf-8", "surrogateescape")
        data += pack("<I", len(text)) + text + b"\0"
    elif letter == "g":
        data += bytes([len(value)]) + value.encode() + b"\0"
    elif letter == "v":
        inner, content = value
        _put_one(data, "g", inner)
        _put_one(data, inner, content)
    elif letter == "a":
        at = len(data)
        data += bytes(4)
        pad(data, alignment(kind[1:]))
        start = len(data)
        for item in value:
            _put_one(data, kind[1:], item)
        data[at : at + 4] = pack("<I", len(data) - start)
    else:
        put(data, kind[1:-1], list(value))


class Reader:
    """Takes values out of a message, little or big endian."""

    __slots__ = ("at", "data", "order")

    def __init__(self, data: bytes, order: str = "<", at: int = 0) -> None:
        self.data = data
        self.order = order
        self.at = at

    def take(self, signature: str) -> "list[Any]":
        """The values of a signature."""
        values = []
        while signature:
            kind = first_type(signature)
            signature = signature[len(kind) :]
            values.append(self._one(kind))
        return values

    def _number(self, letter: str) -> "Any":
        form, size = NUMBERS[letter]
        (value,) = unpack_from(self.order + form, self.data, self.at)
        self.at += size
        return bool(value) if letter == "b" else value

    def _one(self, kind: str) -> "Any":
        self.at += -self.at % alignment(kind)
        letter = kind[0]
        if letter in NUMBERS:
            return self._number(letter)
        if letter in "so":
            length = self._number("u")
            self.at += length + 1
            return self.data[self.at - length - 1 : self.at - 1].decode("utf-8", "replace")
        if letter == "g":
            length = self._number("y")
            self.at += length + 1
            return self.data[self.at - length - 1 : self.at - 1].decode("ascii", "replace")
        if letter == "v":
            inner = self._one("g")
            return (inner, self._one(inner))
        if letter == "a":
            length = self._number("u")
            self.at += -self.at % alignment(kind[1:])
            end = self.at + length
            values = []
            while self.at < end:
                values.append(self._one(kind[1:]))
            return values
        return tuple(self.take(kind[1:-1]))


class Message:
    """``kind`` is CALL, RETURN, ERROR or SIGNAL; ``fields`` are the header's, by number; ``body`` the values."""

    __slots__ = ("body", "fields", "kind", "serial")

    def __init__(self, kind: int, serial: int, fields: "dict[int, Any]", body: "list[Any]") -> None:
        self.kind = kind
        self.serial = serial
        self.fields = fields
        self.body = body


def encode(message: Message) -> bytes:
    """A message as bytes, little endian."""
    body = bytearray()
    put(body, message.fields.get(SIGNATURE, ""), message.body)
    head = bytearray(pack("<cBBBII", b"l", message.kind, 0, 1, len(body), message.serial))
    put(head, "a(yv)", [[(number, (FIELD_TYPES[number], value)) for number, value in message.fields.items()]])
    pad(head, 8)
    return bytes(head + body)


def length(data: bytes) -> int:
    """The whole length (bytes) of a message that begins with these 16 bytes."""
    order = "<" if data[:1] == b"l" else ">"
    body, _, fields = unpack_from(order + "III", data, 4)
    size: int = 16 + fields + -fields % 8 + body
    return size


def decode(data: bytes) -> Message:
    """A whole message from its bytes."""
    order = "<" if data[:1] == b"l" else ">"
    reader = Reader(data, order, 1)
    kind, _, _, body_length, serial = reader.take("yyyuu")
    (pairs,) = reader.take("a(yv)")
    fields = {number: variant[1] for number, variant in pairs}
    inner = Reader(data[len(data) - body_length :], order)
    return Message(kind, serial, fields, inner.take(fields.get(SIGNATURE, "")))


class CallError(RailcarError):
    """The other side answered with an error; ``name`` is D-Bus's name for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Connection:
    """A connection to a bus (``bus`` true), or to one peer. Close it after use."""

    def __init__(self, path: str, bus: bool) -> None:
        self.path = path
        self.bus = bus
        self.serial = 0
        self.rest = b""
        self.signals: list[Message] = []
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.connect(path)
            # The kernel tells the other side who we are, also through a user namespace: no id is sent. BEGIN goes
            # along: a message that systemd reads together with it would lie there until the next one came.
            self.socket.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            self._authenticated()
            if bus:
                self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        except OSError as error:
            self.close()
            raise RailcarError(f"D-Bus: {path}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    def _authenticated(self) -> None:
        while True:
            while b"\r\n" not in self.rest:
                self._receive()
            line, _, self.rest = self.rest.partition(b"\r\n")
            if line.startswith(b"OK"):
                return
            if not line.startswith(b"DATA"):
                raise RailcarError(
                    f"D-Bus: {self.path} does not take our credentials: {line.decode('ascii', 'replace')}"
                )

    def close(self) -> None:
        """Let go of the socket."""
        self.socket.close()

    def _receive(self) -> None:
        part = self.socket.recv(65536)
        if not part:
            raise RailcarError(f"D-Bus: {self.path} closed the connection")
        self.rest += part

    def _next(self) -> Message:
        while len(self.rest) < 16 or len(self.rest) < length(self.rest):
            if len(self.rest) >= 16 and length(self.rest) > LARGEST:
                raise RailcarError(f"D-Bus: {self.path} sends a message that is too long")
            self._receive()
        size = length(self.rest)
        data, self.rest = self.rest[:size], self.rest[size:]
        return decode(data)

    def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *values: "Any"
    ) -> "list[Any]":
        """Call a method and wait for its answer's values. Raises CallError, RailcarError."""
        self.serial += 1
        fields = {PATH: path, INTERFACE: interface, MEMBER: member}
        if self.bus:
            fields[DESTINATION] = destination
        if signature:
            fields[SIGNATURE] = signature
        try:
            self.socket.sendall(encode(Message(CALL, self.serial, fields, list(values))))
            while True:
                message = self._next()
                if message.kind == SIGNAL:
                    self.signals.append(message)
                elif message.fields.get(REPLY_SERIAL) != self.serial:
                    continue
                elif message.kind == RETURN:
                    return message.body
                elif message.kind == ERROR:
                    name = message.fields.get(ERROR_NAME, "")
                    text = message.body[0] if message.body and isinstance(message.body[0], str) else name
                    raise CallError(name, f"systemd refused {member}: {text}")
        except OSError as error:
            raise RailcarError(f"D-Bus: {member} through {self.path}: {error.strerror or error}") from None

    def wait(self, member: str, index: int, value: str) -> Message:
        """The signal of this name whose body has ``value`` at ``index``, received already or still to come."""
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                while self.signals:
                    message = self.signals.pop(0)
                    if (
                        message.fields.get(MEMBER) == member
                        and len(message.body) > index
                        and message.body[index] == value
                    ):
                        return message
                if time.monotonic() > deadline:
                    raise RailcarError(f"D-Bus: no {member} for {value} from systemd in {PATIENCE:.0f} s")
                message = self._next()
                if message.kind == SIGNAL:
                    self.signals.append(message)
        except OSError as error:
            raise RailcarError(f"D-Bus: waiting for {member} through {self.path}: {error.strerror or error}") from None


def addresses(rootless: bool) -> list[tuple[str, bool]]:
    """(socket path, whether a bus is there) of the managers to try, in order: the bus, then systemd's own socket."""
    if not rootless:
        return [("/run/dbus/system_bus_socket", True), ("/run/systemd/private", False)]
    found = []
    for address in os.environ.get("DBUS_SESSION_BUS_ADDRESS", "").split(";"):
        kind, _, rest = address.partition(":path=")
        if kind == "unix" and rest:
            found.append((rest.split(",")[0], True))
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        found += [(runtime + "/bus", True), (runtime + "/systemd/private", False)]
    return found


def connect(rootless: bool) -> Connection:
    """A connection to the system's systemd, or to the user's. Raises RailcarError that says what was tried."""
    tried = []
    for path, bus in addresses(rootless):
        try:
            return Connection(path, bus)
        except RailcarError as error:
            tried.append(error.message)
    whose = "the user's" if rootless else "the system's"
    detail = "; ".join(tried) if tried else "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
    raise RailcarError(f"the systemd cgroup driver cannot reach {whose} systemd ({detail}); cgroupfs needs no systemd")
