"""Platforms, `os/architecture[/variant]`, and which of those that an index offers suits best."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ocicommon.errors import InvalidPlatform

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "loongarch64": "loong64",
    "ppc64el": "ppc64le",
}
_IMPLIED = {"armhf": "v7", "armel": "v6", "armv5l": "v5", "armv6l": "v6", "armv7l": "v7", "armv8l": "v8"}
_KNOWN = {
    "amd64",
    "arm64",
    "arm",
    "386",
    "ppc64le",
    "ppc64",
    "s390x",
    "riscv64",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
} | {
    "mips64le",
    "wasm",
}
_SYSTEMS = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "zos", "aix", "wasip1"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Platform:
    """A normalized platform: Go's names; the variant that everyone has (amd64 v1, arm64 v8) is empty."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def normalize(os_name: str, architecture: str, variant: str = "") -> Platform:
    """The platform in Go's names, from those and from the kernel's and Debian's (x86_64, aarch64, armhf...)."""
    os_name = {"macos": "darwin"}.get(os_name.lower(), os_name.lower())
    architecture, variant = architecture.lower(), variant.lower()
    if variant and variant[0].isdigit():
        variant = f"v{variant}"
    if not variant:
        variant = _IMPLIED.get(architecture, "")
    if architecture.startswith("armv"):
        architecture = "arm"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm" and not variant:
        variant = "v7"
    if (architecture, variant) in {("amd64", "v1"), ("arm64", "v8")}:
        variant = ""
    return Platform(os_name, architecture, variant)


def parse(text: str) -> Platform:
    """`linux/arm64/v8`, or `arm64` for this system's os; raises InvalidPlatform."""
    parts = text.split("/")
    if not all(parts) or len(parts) > 3 or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidPlatform(f"{text!r} is not a platform: expected OS/ARCHITECTURE[/VARIANT] such as linux/arm64")
    if len(parts) > 1:
        return normalize(*parts)
    platform = normalize(host().os, parts[0])
    if platform.architecture not in _KNOWN:
        if parts[0].lower() in _SYSTEMS:
            return normalize(parts[0], host().architecture, host().variant)
        raise InvalidPlatform(f"{text!r} is not a platform: expected OS/ARCHITECTURE[/VARIANT] such as linux/arm64")
    return platform


def host() -> Platform:
    """The platform of the running kernel."""
    name = os.uname()
    return normalize(name.sysname, name.machine)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """How well `offered` runs where `wanted` is asked for: 0 is exact, more is an older variant, None is not at all."""
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    default = {"amd64": 1, "arm64": 8}.get(wanted.architecture, 0)
    have, need = _level(wanted.variant, default), _level(offered.variant, default)
    if wanted.variant == offered.variant:
        return 0
    if have is None or need is None or need > have:
        return None
    return int((have - need) * 10)


def _level(variant: str, default: int) -> float | None:
    if not variant:
        return default
    try:
        return float(variant.removeprefix("v"))
    except ValueError:
        return None


def select(wanted: Platform, offered: Iterable[tuple[Platform, _T]]) -> _T | None:
    """The value of the platform that suits `wanted` best, the first of equals; None if none does."""
    best: tuple[int, _T] | None = None
    for platform, value in offered:
        quality = rank(wanted, platform)
        if quality is not None and (best is None or quality < best[0]):
            best = (quality, value)
    return None if best is None else best[1]
