"""apt's configuration of the host: sources in both formats, keyrings, preferences, credentials (sources.list(5))."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace

from smith.errors import ConfigError, InputError
from smith.sources.deb import control

_NATIVE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}
_TRUE = {"yes", "true", "1", "on", "with", "enable"}


@dataclass(frozen=True, slots=True)
class Archive:
    """One suite of one mirror. `components` is empty for a flat repository (the suite then ends with a slash).

    `signed_by`: keyring files, fingerprints or one armoured key; empty means the host's trusted keys.
    """

    url: str
    suite: str
    components: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    trusted: bool = False
    check_valid_until: bool = True
    check_date: bool = True
    by_hash: bool = True
    origin: str = ""

    @property
    def base(self) -> str:
        """Address of the directory that holds InRelease."""
        root = self.url.rstrip("/")
        return f"{root}/{self.suite.strip('/')}".rstrip("/.") if self.flat else f"{root}/dists/{self.suite}"

    @property
    def flat(self) -> bool:
        return self.suite.endswith("/")

    def __str__(self) -> str:
        return f"{self.url} {self.suite}"


@dataclass(frozen=True, slots=True)
class Host:
    """What apt on this machine is set to."""

    archives: tuple[Archive, ...]
    keyrings: tuple[str, ...]
    preferences: str
    credentials: Mapping[str, tuple[str, str]]
    proxies: Mapping[str, str]


def architecture() -> str:
    """The machine's architecture in Debian's words."""
    machine = os.uname().machine
    return _NATIVE.get(machine, machine)


def _truth(text: str, default: bool) -> bool:
    return default if not text else text.strip().lower() in _TRUE


def one_line(text: str, origin: str) -> list[Archive]:
    """sources.list format. ConfigError names file, line and what is wrong."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        where = f"{origin}:{number}"
        match = re.match(r"^(deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>.+)$", line)
        words = match.group("rest").split() if match else []
        if match is None or len(words) < 2:
            raise ConfigError(f"{where}: not a source line (deb [options] address suite components): {line}")
        if match.group(1) == "deb-src":
            continue
        options: dict[str, str] = {}
        for option in (match.group("options") or "").split():
            name, _, value = option.partition("=")
            options[name.rstrip("+-").lower()] = value
        fields = {
            "architectures": options.get("arch", "").replace(",", " "),
            "signed-by": options.get("signed-by", "").replace(",", " "),
            "trusted": options.get("trusted", ""),
            "check-valid-until": options.get("check-valid-until", ""),
            "check-date": options.get("check-date", ""),
            "by-hash": options.get("by-hash", ""),
        }
        found += _archives([words[0]], [words[1]], words[2:], fields, where)
    return found


def deb822(text: str, origin: str) -> list[Archive]:
    """The .sources format."""
    found = []
    for number, stanza in enumerate(control.paragraphs(text, origin), 1):
        where = f"{origin} (stanza {number})"
        if not _truth(stanza.value("Enabled"), True) or "deb" not in stanza.value("Types").split():
            continue
        missing = [name for name in ("URIs", "Suites") if not stanza.value(name).split()]
        if missing:
            raise ConfigError(f"{where}: the field {missing[0]} is missing")
        fields = {
            name: stanza.value(name)
            for name in ("Architectures", "Trusted", "Check-Valid-Until", "Check-Date", "By-Hash")
        }
        fields["signed-by"] = stanza.value("Signed-By")
        lowered = {name.lower(): value for name, value in fields.items()}
        found += _archives(
            stanza.value("URIs").split(),
            stanza.value("Suites").split(),
            stanza.value("Components").split(),
            lowered,
            where,
        )
    return found


def _signed_by(text: str) -> tuple[str, ...]:
    if "-----BEGIN" in text:
        lines = [line[1:] if line.startswith(" ") else line for line in text.strip("\n").splitlines()]
        return ("\n".join("" if line.strip() == "." else line.strip() for line in lines) + "\n",)
    return tuple(text.replace(",", " ").split())


def _archives(
    urls: list[str], suites: list[str], components: list[str], fields: Mapping[str, str], where: str
) -> list[Archive]:
    found = []
    for url in urls:
        if url.startswith("cdrom:"):
            continue
        for suite in suites:
            suite = suite.replace("$(ARCH)", architecture())
            if not suite.endswith("/") and not components:
                raise ConfigError(f"{where}: the suite {suite} needs components (such as main)")
            found.append(
                Archive(
                    url=_mirror(url, where),
                    suite=suite,
                    components=() if suite.endswith("/") else tuple(components),
                    architectures=tuple(fields["architectures"].split()),
                    signed_by=_signed_by(fields["signed-by"]),
                    trusted=_truth(fields["trusted"], False),
                    check_valid_until=_truth(fields["check-valid-until"], True),
                    check_date=_truth(fields["check-date"], True),
                    by_hash=fields["by-hash"].strip().lower() != "no",
                    origin=where,
                )
            )
    return found


def _mirror(url: str, where: str) -> str:
    """mirror+file: names a list of mirrors (apt-transport-mirror(1)); its first entry is taken."""
    if url.startswith("mirror+file:"):
        path = re.sub(r"^mirror\+file:/*", "/", url)
        try:
            with open(path, encoding="utf-8") as stream:
                lines = [line.split()[0] for line in stream if line.strip() and not line.startswith("#")]
        except OSError as error:
            raise ConfigError(f"{where}: the mirror list {path} cannot be read: {error.strerror}") from None
        if not lines:
            raise ConfigError(f"{where}: the mirror list {path} is empty")
        return lines[0]
    if url.startswith("file:") and not url.startswith("file://"):
        return "file://" + url[5:]
    if url.startswith("copy:"):
        return "file://" + url[5:]
    return url


def _settings() -> dict[str, str]:
    """`apt-config dump`, if there is an apt: name (lower case) -> value."""
    program = shutil.which("apt-config")
    if program is None:
        return {}
    result = subprocess.run([program, "dump"], capture_output=True, text=True, check=False)
    found = {}
    for line in result.stdout.splitlines():
        match = re.match(r'^(\S+) "(.*)";$', line)
        if match:
            found[match.group(1).lower()] = match.group(2)
    return found


def _read_all(patterns: list[str]) -> list[tuple[str, str]]:
    found = []
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            try:
                with open(path, encoding="utf-8") as stream:
                    found.append((path, stream.read()))
            except PermissionError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{path}: cannot be read: {error}") from None
    return found


def credentials(text: str) -> dict[str, tuple[str, str]]:
    """apt_auth.conf(5), which is netrc's form: host -> (user, password)."""
    found: dict[str, tuple[str, str]] = {}
    words = shlex.split(text, comments=True)
    host, login = "", ""
    for name, value in zip(words[::2], words[1::2], strict=False):
        if name == "machine":
            host, login = re.sub(r"^https?://", "", value).split("/")[0], ""
        elif name == "login":
            login = value
        elif name == "password" and host:
            found[host.partition(":")[0]] = (login, value)
    return found


def host(etc: str = "/etc/apt", share: str = "/usr/share/keyrings") -> Host:
    """Read it. ConfigError when a file there is wrong."""
    settings = _settings() if etc == "/etc/apt" else {}
    archives: list[Archive] = []
    for path, text in _read_all([f"{etc}/sources.list", f"{etc}/sources.list.d/*.list"]):
        archives += one_line(text, path)
    for path, text in _read_all([f"{etc}/sources.list.d/*.sources"]):
        archives += deb822(text, path)
    if not _truth(settings.get("acquire::check-valid-until", ""), True):
        archives = [replace(archive, check_valid_until=False) for archive in archives]
    if not _truth(settings.get("acquire::check-date", ""), True):
        archives = [replace(archive, check_valid_until=False, check_date=False) for archive in archives]
    pairs: dict[str, tuple[str, str]] = {}
    for _, text in _read_all([f"{etc}/auth.conf", f"{etc}/auth.conf.d/*.conf"]):
        pairs |= credentials(text)
    proxies = {
        scheme: value
        for scheme in ("http", "https")
        if (value := settings.get(f"acquire::{scheme}::proxy", "")) and value.upper() != "DIRECT"
    }
    return Host(
        archives=tuple(archives),
        keyrings=trusted_keyrings(etc, share),
        preferences="\n\n".join(text for _, text in _read_all([f"{etc}/preferences", f"{etc}/preferences.d/*"])),
        credentials=pairs,
        proxies=proxies,
    )


def trusted_keyrings(etc: str = "/etc/apt", share: str = "/usr/share/keyrings") -> tuple[str, ...]:
    """The keys that sources without Signed-By are checked against: apt's own, else the archive keyrings."""
    own = sorted(glob.glob(f"{etc}/trusted.gpg.d/*.gpg") + glob.glob(f"{etc}/trusted.gpg.d/*.asc"))
    own += [path for path in (f"{etc}/trusted.gpg",) if os.path.isfile(path) and os.path.getsize(path)]
    return tuple(own) or tuple(sorted(glob.glob(f"{share}/*-archive-keyring.[gp]*")))
