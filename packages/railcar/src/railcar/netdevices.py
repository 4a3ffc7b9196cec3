"""linux.netDevices: the host's network interfaces that move into the container. runtime-spec config-linux.md."""

from __future__ import annotations

import os

from ocicommon.linux.errors import SyscallError
from ocicommon.linux.namespaces import CLONE_NEWNET, setns
from ocicommon.linux.netlink import Route

from railcar.errors import ConfigError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST_NAME = 15


def checked(linux: dict[str, Any]) -> list[tuple[str, str]]:
    """(name on the host, name in the container) of each device; raises ConfigError."""
    wanted = linux.get("netDevices") or {}
    if not wanted:
        return []
    namespaces = {entry.get("type"): entry for entry in linux.get("namespaces") or []}
    if "network" not in namespaces:
        raise ConfigError('linux.netDevices needs a "network" namespace in linux.namespaces to move devices into')
    result: list[tuple[str, str]] = []
    for name, entry in wanted.items():
        inside = (entry or {}).get("name") or name
        for text in (name, inside):
            if not _is_name(text):
                raise ConfigError(f"linux.netDevices: {text!r} is not a valid network device name")
        if any(inside == other for _, other in result):
            raise ConfigError(f"linux.netDevices: two devices would be named {inside!r} in the container")
        result.append((name, inside))
    return result


def _is_name(name: str) -> bool:
    if not isinstance(name, str) or not 0 < len(os.fsencode(name)) <= _LONGEST_NAME or name in (".", ".."):
        return False
    return not any(character in "/:\0" or character.isspace() for character in name)


def move(devices: list[tuple[str, str]], namespace_fd: int) -> None:
    """Move each device into the network namespace of ``namespace_fd``, keeping its addresses, and bring it up.

    Raises StepError; what was moved before the failure goes home with ``give_back``.
    """
    if not devices:
        return
    moved: list[tuple[str, str]] = []
    try:
        with Route() as route:
            for outside, inside in devices:
                try:
                    index = route.index(outside)
                    addresses = route.addresses(index)
                    route.set_up(index, False)
                    route.move(index, namespace_fd, inside)
                    moved.append((outside, inside))
                    _settle(namespace_fd, inside, addresses)
                except OSError as error:
                    raise StepError("linux.netDevices", outside, error.errno or 0) from error
    except BaseException:
        give_back(moved, namespace_fd)
        raise


def _settle(namespace_fd: int, name: str, addresses: list[bytes]) -> None:
    """Addresses and up, in the device's new namespace: this thread goes there for as long as a socket takes."""
    with _route_in(namespace_fd) as route:
        index = route.index(name)
        for address in addresses:
            try:
                route.add_address(index, address)
            except SyscallError as error:
                if error.errno != 17:
                    raise
        route.set_up(index)


def _route_in(namespace_fd: int) -> Route:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace_fd, CLONE_NEWNET)
        try:
            return Route()
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def give_back(devices: list[tuple[str, str]], namespace_fd: int) -> None:
    """Return devices to the caller's namespace under their own names, while the container's still exists.

    The kernel returns only hardware by itself, and deletes the rest with the namespace. What is gone is gone.
    """
    if not devices:
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _route_in(namespace_fd) as route:
            for outside, inside in devices:
                try:
                    index = route.index(inside)
                    addresses = route.addresses(index)
                    route.set_up(index, False)
                    route.move(index, home, outside)
                    _settle(home, outside, addresses)
                except SyscallError:
                    continue
    except OSError:
        return
    finally:
        os.close(home)
