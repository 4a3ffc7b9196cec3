"""Times as engines write them. RFC 3339."""

from __future__ import annotations

_DAYS_BEFORE_EPOCH = 719468  # from 0000-03-01


def seconds(text: str) -> float:
    """Seconds since the epoch of ``2026-01-02T03:04:05.678901234Z`` (or with an offset); 0 for what is no such time."""
    date, _, rest = text.partition("T")
    clock, zone = rest[:8], rest[8:]
    fraction = len(zone) - len(zone.removeprefix(".").lstrip("0123456789"))
    part, zone = zone[:fraction], zone[fraction:]
    try:
        year, month, day = (int(number) for number in date.split("-"))
        hour, minute, second = (int(number) for number in clock.split(":"))
        offset = 0
        if zone not in ("", "Z", "z"):
            hours, minutes = zone[1:].split(":")
            offset = (int(hours) * 60 + int(minutes)) * (-60 if zone[0] == "-" else 60)
        known = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
        return known + float(f"0{part}" if part else 0)
    except ValueError:
        return 0


def _days(year: int, month: int, day: int) -> int:
    """Days since the epoch: counted from March, a leap day is the last of its year."""
    year -= month < 3
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - _DAYS_BEFORE_EPOCH


def age(seconds_ago: float) -> str:
    """``3 days``: one number and one unit, as far as it matters."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count = int(seconds_ago // length)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"
