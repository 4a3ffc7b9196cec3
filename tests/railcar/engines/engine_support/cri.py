"""Kubernetes' Container Runtime Interface, as far as the tests speak it: gRPC, with messages by their numbers.

A message is a dict of field number -> value: text, bytes, a number, another message, or a list of these. The numbers
are those of k8s.io/cri-api, runtime/v1/api.proto. What is read comes as a dict of field number -> list of numbers and
bytes.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from engine_support import PATIENCE, until

Message = dict[int, Any]
POD, CONTAINER, NODE = 0, 1, 2
CREATED, RUNNING, EXITED = 0, 1, 2


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    said = bytearray()
    while number > 0x7F:
        said.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*said, number])


def encode(message: Message) -> bytes:
    """protobuf's wire format."""
    said = b""
    for number, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                said += _varint(number << 3) + _varint(item)
                continue
            data = encode(item) if isinstance(item, dict) else item.encode() if isinstance(item, str) else item
            said += _varint(number << 3 | 2) + _varint(len(data)) + data
    return said


def decode(data: bytes) -> dict[int, list[Any]]:
    """The fields of a message of numbers and bytes; what else there is in the wire format is refused."""
    found: dict[int, list[Any]] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        number = shift = 0
        while True:
            byte = data[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while place < len(data):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            found.setdefault(number, []).append(varint())
        else:
            assert kind == 2, f"field {number} has wire type {kind}"
            size = varint()
            found.setdefault(number, []).append(data[place : place + size])
            place += size
    return found


class Service:
    """An engine's RuntimeService at a socket."""

    def __init__(self, socket: Path, parent: str, logs: Path) -> None:
        """`parent`: the cgroup that pods are put into. `logs`: a directory for what containers say."""
        self.grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
        self.channel = self.grpc.insecure_channel(f"unix:{socket}")
        self.parent, self.logs, self.count = parent, logs, 0

    def __call__(self, method: str, message: Message) -> dict[int, list[Any]]:
        """The answer. Raises grpc.RpcError with the engine's words."""
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        return decode(call(encode(message), timeout=PATIENCE))

    def refused(self, method: str, message: Message) -> str:
        """Why the engine does not do it."""
        with pytest.raises(self.grpc.RpcError) as caught:
            self(method, message)
        return str(caught.value.details())

    def pod(self, handler: str) -> "Pod":
        self.count += 1
        unique = f"railcar-test-{self.count}-{time.monotonic_ns()}"
        config = {
            1: {1: unique, 2: unique, 3: "default"},
            3: str(self.logs / unique),
            8: {1: self.parent, 2: {1: {1: NODE, 2: POD}}},
        }
        (self.logs / unique).mkdir(parents=True)
        [identity] = self("RunPodSandbox", {1: config, 2: handler})[1]
        return Pod(self, config, identity.decode())


class Pod:
    """A pod on the host's network, whose containers share a pid namespace."""

    def __init__(self, service: Service, config: Message, identity: str) -> None:
        self.service, self.config, self.identity = service, config, identity

    def create(self, name: str, *command: str, linux: Message | None = None, **fields: Any) -> str:
        """A container; its id. `fields`: further ones of ContainerConfig, by names like `f6` for number 6."""
        config = {1: {1: name}, 2: {1: "docker.io/library/box:latest"}, 3: list(command), 11: name}
        config |= {int(key[1:]): value for key, value in fields.items()}
        linux = linux or {}
        linux.setdefault(2, {})[3] = {1: NODE, 2: POD}
        config[15] = linux
        [identity] = self.service("CreateContainer", {1: self.identity, 2: config, 3: self.config})[1]
        return str(identity, "ascii")

    def start(self, name: str, *command: str, linux: Message | None = None, **fields: Any) -> str:
        identity = self.create(name, *command, linux=linux, **fields)
        self.service("StartContainer", {1: identity})
        return identity

    def status(self, identity: str) -> dict[int, list[Any]]:
        return decode(self.service("ContainerStatus", {1: identity})[1][0])

    def ended(self, identity: str) -> tuple[int, str]:
        """Its exit code and the reason for its end, when it has ended."""
        until(lambda: self.status(identity).get(3) == [EXITED], "the container to end")
        status = self.status(identity)
        return status.get(7, [0])[0], status.get(10, [b""])[0].decode()

    def log(self, name: str) -> str:
        """What a container said, without the times in front."""
        lines = (self.service.logs / self.config[1][1] / name).read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def execute(self, identity: str, *command: str) -> tuple[str, int]:
        done = self.service("ExecSync", {1: identity, 2: list(command), 3: PATIENCE})
        return done.get(1, [b""])[0].decode() + done.get(2, [b""])[0].decode(), done.get(3, [0])[0]

    def remove(self) -> None:
        self.service("StopPodSandbox", {1: self.identity})
        self.service("RemovePodSandbox", {1: self.identity})
