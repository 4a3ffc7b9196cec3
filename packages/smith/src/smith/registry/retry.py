"""When to try again, and how long to wait before."""

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from smith.registry.errors import Broken

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_T = TypeVar("_T")


@dataclass(frozen=True)
class Retry:
    """`attempts` in all, waiting `first` seconds, then twice as long, up to `longest`; a wish, to `patience`."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 8.0
    patience: float = 120.0
    sleep: Callable[[float], object] | None = None

    def pause(self, attempt: int, retry_after: str | None = None) -> None:
        """Waits before the try after `attempt` (from 1), as long as the header `Retry-After` asks if it is sensible."""
        wished = seconds(retry_after)
        if wished is not None:
            wait = min(wished, self.patience)
        else:
            wait = min(self.first * 2 ** (attempt - 1), self.longest) * random.uniform(0.75, 1.25)
        (self.sleep or time.sleep)(wait)

    def run(self, work: Callable[[], _T]) -> _T:
        """`work()`, again while it raises Broken; the last one's error in the end."""
        for attempt in range(1, self.attempts):
            try:
                return work()
            except Broken:
                self.pause(attempt)
        return work()


def seconds(header: str | None) -> float | None:
    """Seconds from now that a `Retry-After` header means (RFC 9110 section 10.2.3), None if it means nothing."""
    if not header:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())
