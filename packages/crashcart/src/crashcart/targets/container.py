"""A container as an engine records it, and which of many a user's ID means. Pure."""

from __future__ import annotations

from crashcart.errors import CrashcartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Container:
    """One running container: ``created`` in seconds since the epoch (0 unknown), ``start_time`` in ticks since boot
    (0 unknown), ``config`` the path of its runtime configuration (may be empty), ``place`` the socket or directory
    that told of it."""

    __slots__ = (
        "config",
        "created",
        "engine",
        "id",
        "image",
        "name",
        "namespace",
        "pid",
        "place",
        "start_time",
        "status",
    )

    def __init__(
        self,
        engine: str,
        id: str,
        pid: int,
        *,
        name: str = "",
        namespace: str = "",
        image: str = "",
        status: str = "running",
        created: float = 0,
        start_time: int = 0,
        config: str = "",
        place: str = "",
    ) -> None:
        self.engine = engine
        self.id = id
        self.pid = pid
        self.name = name
        self.namespace = namespace
        self.image = image
        self.status = status
        self.created = created
        self.start_time = start_time
        self.config = config
        self.place = place

    def __repr__(self) -> str:
        return f"Container({self.describe()!r})"

    def describe(self) -> str:
        """One line that tells it from others: ``docker web (4f9a0c2b1d3e), pid 123``."""
        if self.engine == "pid":
            return f"process {self.pid}"
        where = f"{self.engine}/{self.namespace}" if self.namespace else self.engine
        short = self.id[:12] if len(self.id) == 64 else self.id
        called = f"{self.name} ({short})" if self.name and self.name != self.id else short
        return f"{where} {called}, pid {self.pid}"


def split_engine(text: str, engines: Iterable[str]) -> tuple[str, str]:
    """('docker', 'web') of ``docker:web``; ('', text) when no engine of these is named."""
    engine, colon, rest = text.partition(":")
    if colon and rest and engine in engines:
        return engine, rest
    return "", text


def matches(text: str, id: str, name: str = "", namespace: str = "") -> bool:
    """Whether a container may be the one meant; an empty ``text`` means every one."""
    if namespace and text.startswith(f"{namespace}/"):
        text = text[len(namespace) + 1 :]
    return id.startswith(text) or name == text


def choose(text: str, found: Iterable[Container]) -> Container:
    """The one container meant: an exact id or name before a unique prefix. CrashcartError names the candidates.

    The same process recorded twice (docker's is containerd's and runc's too) counts once, for who told first.
    """
    once: dict[int, Container] = {}
    for container in found:
        once.setdefault(container.pid, container)
    candidates = list(once.values())
    exact = [one for one in candidates if text in (one.id, one.name, f"{one.namespace}/{one.id}")]
    if len(exact) == 1:
        return exact[0]
    if not candidates:
        raise CrashcartError(f"no running container '{text}': `crashcart list` shows those that can be entered")
    if len(candidates) > 1:
        lines = "".join(f"\n  {one.describe()}" for one in (exact or candidates))
        raise CrashcartError(f"'{text}' is ambiguous: write more of the id, ENGINE:ID, or a pid of these:{lines}")
    return candidates[0]
