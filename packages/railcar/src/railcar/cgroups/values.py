"""What the tables of both versions share: a write as data, and numbers read from the configuration."""

from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Write:
    """One value for one control file of the group.

    ``controller`` is a key of the group's paths. ``choices`` are (file, value) pairs, of which the first whose file
    exists is written: kernels name some files in two ways. ``field`` is the configuration key, for messages. An
    ``optional`` write is left out when none of the files exists. A ``late`` one waits until the container is ready.
    """

    __slots__ = ("choices", "controller", "field", "late", "optional")

    def __init__(
        self,
        controller: str,
        choices: tuple[tuple[str, str], ...],
        field: str,
        optional: bool = False,
        late: bool = False,
    ) -> None:
        self.controller = controller
        self.choices = choices
        self.field = field
        self.optional = optional
        self.late = late

    def __repr__(self) -> str:
        return f"Write({self.controller!r}, {self.choices!r}, {self.field!r}, {self.optional}, {self.late})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Write) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]


def one(controller: str, file: str, value: object, field: str, optional: bool = False, late: bool = False) -> Write:
    """A write with a single file."""
    return Write(controller, ((file, str(value)),), field, optional, late)


def _find(parent: "dict[str, Any]", key: str) -> "Any":
    """The value of a key, or of one that differs by case: to runtimes in Go they are the same, and a limit that those
    would set must not be lost."""
    if key in parent or not parent:
        return parent.get(key)
    folded = key.lower()
    return next((value for other, value in parent.items() if other.lower() == folded), None)


def section(parent: "dict[str, Any]", key: str, field: str) -> "dict[str, Any]":
    """An object of the configuration; absent and null are empty."""
    value = _find(parent, key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RailcarError(f"{field} must be an object, and is {value!r}")
    return value


def items(parent: "dict[str, Any]", key: str, field: str) -> "list[dict[str, Any]]":
    """A list of objects of the configuration; absent and null are empty."""
    value = _find(parent, key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RailcarError(f"{field} must be a list of objects, and is {value!r}")
    return value


def number(parent: "dict[str, Any]", key: str, field: str) -> int | None:
    """An integer of the configuration (bytes, microseconds, counts: the field says); None when absent or null."""
    value = _find(parent, key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 64:
        raise RailcarError(f"{field}.{key} must be an integer of 64 bits, and is {value!r}")
    return value


def text(parent: "dict[str, Any]", key: str, field: str) -> str | None:
    """A string of one line; None when absent, null or empty."""
    value = _find(parent, key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\n" in value or "\0" in value:
        raise RailcarError(f"{field}.{key} must be a string of one line, and is {value!r}")
    return value


def flag(parent: "dict[str, Any]", key: str, field: str) -> bool | None:
    """A boolean of the configuration; None when absent or null."""
    value = _find(parent, key)
    if value is not None and not isinstance(value, bool):
        raise RailcarError(f"{field}.{key} must be true or false, and is {value!r}")
    return value


def device(entry: "dict[str, Any]", field: str) -> str:
    """``major:minor`` of a block device entry."""
    major, minor = number(entry, "major", field), number(entry, "minor", field)
    if major is None or minor is None or major < 0 or minor < 0:
        raise RailcarError(f"{field} needs major and minor, and has {entry!r}")
    return f"{major}:{minor}"


def page_size(entry: "dict[str, Any]", field: str) -> str:
    """``2MB``-like size, as it stands in the names of hugetlb files."""
    size = text(entry, "pageSize", field) or ""
    digits = size.rstrip("KMGB")
    if size[len(digits) :] not in ("KB", "MB", "GB") or not (digits.isascii() and digits.isdigit()):
        raise RailcarError(f"{field}.pageSize must be a number with KB, MB or GB, like 2MB, and is {size!r}")
    return size


def is_small(limit: int | None) -> bool:
    """Whether a memory limit (bytes) could kill the container's own start, and so is written after it."""
    return limit is not None and 0 <= limit < 64 << 20


def tasks(limit: int) -> str:
    """pids.max for linux.resources.pids.limit: negative is no limit; 0 is 1, since the first process is there
    already."""
    return "max" if limit < 0 else str(limit or 1)
