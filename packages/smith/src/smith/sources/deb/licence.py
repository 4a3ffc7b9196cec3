"""What a machine-readable copyright file says of licences (the copyright-format 1.0 of Debian)."""

from __future__ import annotations

import re

_LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.M)
_LIMIT = 12


def of(copyright_file: str) -> str:
    """The short names in it, joined by AND in the order of the file; empty for a file in another form."""
    if "copyright-format/1" not in copyright_file[:2000] and "dep5" not in copyright_file[:2000]:
        return ""
    names = dict.fromkeys(name.strip() for name in _LICENCE.findall(copyright_file))
    parts = [f"({name})" if " or " in name else name for name in names]
    return " AND ".join(parts[:_LIMIT])
