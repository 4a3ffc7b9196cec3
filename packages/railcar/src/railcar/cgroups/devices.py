"""linux.resources.devices as rules: the list of the configuration in its order, then the devices every container may
use."""

from railcar.cgroups.values import items, number
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MKNOD, READ, WRITE = 1, 2, 4
LETTERS = {"r": READ, "w": WRITE, "m": MKNOD}
ANY = -1


class Rule:
    """``kind`` is a, b or c; ``major`` and ``minor`` may be ANY; ``access`` is a sum of MKNOD, READ and WRITE."""

    __slots__ = ("access", "allow", "kind", "major", "minor")

    def __init__(self, allow: bool, kind: str, major: int, minor: int, access: int) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    def line(self) -> str:
        """The rule as the v1 files devices.allow and devices.deny take it."""
        if self.kind == "a":
            return "a"
        major = "*" if self.major == ANY else str(self.major)
        minor = "*" if self.minor == ANY else str(self.minor)
        return f"{self.kind} {major}:{minor} {letters(self.access)}"


def letters(access: int) -> str:
    """``rwm`` in that order."""
    return "".join(letter for letter, bit in LETTERS.items() if access & bit)


# Making any node is harmless, since using it is another matter; then null, zero, full, tty, random, urandom, ptmx,
# the ptys and tun.
DEFAULTS = (
    Rule(True, "c", ANY, ANY, MKNOD),
    Rule(True, "b", ANY, ANY, MKNOD),
    Rule(True, "c", 1, 3, 7),
    Rule(True, "c", 1, 8, 7),
    Rule(True, "c", 1, 7, 7),
    Rule(True, "c", 5, 0, 7),
    Rule(True, "c", 1, 5, 7),
    Rule(True, "c", 1, 9, 7),
    Rule(True, "c", 136, ANY, 7),
    Rule(True, "c", 5, 2, 7),
    Rule(True, "c", 10, 200, 7),
)


def _number(entry: "dict[str, Any]", key: str) -> int:
    value = number(entry, key, "linux.resources.devices")
    if value is None or value == ANY:
        return ANY
    if value < 0 or value >= 1 << 31:
        raise RailcarError(f"linux.resources.devices: {key} {value} is no device number")
    return value


def rules(resources: "dict[str, Any]") -> list[Rule]:
    """All rules of a container. Whatever no rule speaks of is denied."""
    result = [Rule(False, "a", ANY, ANY, 7)]
    for entry in items(resources, "devices", "linux.resources.devices"):
        allow = entry.get("allow")
        if not isinstance(allow, bool):
            raise RailcarError(f"linux.resources.devices: {entry!r} needs allow, true or false")
        kind = entry.get("type") or "a"
        if kind not in ("a", "b", "c", "u", "p"):
            raise RailcarError(f"linux.resources.devices: type {kind!r} is none of a, b, c, u, p")
        access = entry.get("access")
        bits = 0
        for letter in access if isinstance(access, str) and access else "rwm":
            bits |= LETTERS.get(letter, 0)
        major, minor = _number(entry, "major"), _number(entry, "minor")
        if kind == "p":
            continue
        if kind == "u":
            kind = "c"
        if kind == "a" and (major, minor, bits) == (ANY, ANY, 7):
            result.append(Rule(allow, "a", ANY, ANY, 7))
        elif kind == "a":
            # The kernel reads "a" as everything, whatever numbers follow: say what is meant, for both kinds.
            result += [Rule(allow, letter, major, minor, bits) for letter in "bc"]
        else:
            result.append(Rule(allow, kind, major, minor, bits))
    result += DEFAULTS
    # An "a" rule decides everything before it.
    start = max(index for index, rule in enumerate(result) if rule.kind == "a")
    result = result[start:]
    if result[0].allow:
        # What is allowed anyway needs no exception.
        result = [result[0]] + [rule for rule in result[1:] if not rule.allow or rule not in DEFAULTS]
    return result


def warnings(resources: "dict[str, Any]") -> list[str]:
    """A sentence for each access with a letter that means nothing: as under runc, the others count."""
    found = [entry.get("access") for entry in items(resources, "devices", "linux.resources.devices")]
    return [
        f"linux.resources.devices: access {access!r} has a letter other than r, w and m: it has no effect"
        for access in found
        if isinstance(access, str) and access.strip("rwm")
    ]


def v1_lines(listed: list[Rule]) -> list[tuple[str, str]]:
    """(file, line) pairs for the v1 devices controller, in order."""
    return [("devices.allow" if rule.allow else "devices.deny", rule.line()) for rule in listed]
