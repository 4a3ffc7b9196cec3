"""Times as engines write them. RFC 3339."""

from __future__ import annotations

from datetime import UTC


def seconds(text: str) -> float:
    """Seconds since the epoch of ``2026-01-02T03:04:05.678901234Z`` (or with an offset); 0 for what is no such time."""
    from datetime import datetime

    head, point, rest = text.partition(".")
    if point:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def age(seconds_ago: float) -> str:
    """``3 days``: one number and one unit, as far as it matters."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count = int(seconds_ago // length)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"
