"""A suite's Release file: fetched, verified, and what it promises of its indexes (the Debian repository format)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from smith.errors import SmithError, VerificationError
from smith.fetch import Fetcher, NotFoundError
from smith.openpgp import Keyring
from smith.sources import Input
from smith.sources.deb import control
from smith.sources.deb.configuration import Archive

_CLOCK_SLACK = 86400
_COMPRESSIONS = (".xz", ".gz", ".zst", ".bz2", "")


@dataclass(frozen=True, slots=True)
class Release:
    """One verified Release file. `files` maps a name below the suite to (sha256, size in bytes)."""

    archive: Archive
    fields: control.Stanza
    files: dict[str, tuple[str, int]]
    source: Input

    @property
    def architectures(self) -> list[str]:
        return self.fields.value("Architectures").split()

    @property
    def not_automatic(self) -> bool:
        return self.fields.value("NotAutomatic").lower() == "yes"

    @property
    def but_automatic_upgrades(self) -> bool:
        return self.fields.value("ButAutomaticUpgrades").lower() == "yes"

    def index(self, component: str, architecture: str) -> tuple[str, str, int] | None:
        """(address, sha256, size) of the best compressed Packages file, or None when there is none."""
        folder = f"{component}/binary-{architecture}/" if component else ""
        for suffix in _COMPRESSIONS:
            name = f"{folder}Packages{suffix}"
            if name in self.files:
                sha256, size = self.files[name]
                return self._address(name, sha256), sha256, size
        return None

    def _address(self, name: str, sha256: str) -> str:
        by_hash = self.archive.by_hash and self.fields.value("Acquire-By-Hash").lower() == "yes"
        if not by_hash:
            return f"{self.archive.base}/{name}"
        folder = name.rpartition("/")[0]
        return f"{self.archive.base}/{folder + '/' if folder else ''}by-hash/SHA256/{sha256}"


def keyring(archive: Archive, trusted: tuple[str, ...]) -> Keyring:
    """The keys that may sign this archive: those of Signed-By, else `trusted` keyring files."""
    if archive.signed_by and "-----BEGIN" in archive.signed_by[0]:
        return Keyring.from_text(archive.signed_by[0], f"Signed-By of {archive}")
    files = [item for item in archive.signed_by if item.startswith("/")]
    prints = [item for item in archive.signed_by if not item.startswith("/")]
    ring = Keyring.from_files(files or trusted)
    return ring.only(prints) if prints else ring


def fetch(archive: Archive, fetcher: Fetcher, trusted: tuple[str, ...], now: float | None = None) -> Release:
    """Bring and verify InRelease, else Release with Release.gpg.

    VerificationError for a signature that does not hold or a file that has expired, SmithError when nothing answers.
    """
    url = f"{archive.base}/InRelease"
    try:
        data = fetcher.news(url)
        text = _without_signature(data) if archive.trusted else keyring(archive, trusted).verify_inline(data, url)
    except NotFoundError:
        url = f"{archive.base}/Release"
        try:
            data = text = fetcher.news(url)
            if not archive.trusted:
                signature = fetcher.news(url + ".gpg")
                keyring(archive, trusted).verify_detached(data, signature, url)
                fetcher.remember(url + ".gpg", signature)
        except NotFoundError as missing:
            raise SmithError(f"{archive}: no signed Release file ({missing})") from None
    if fetcher.fast:
        archive = replace(archive, check_valid_until=False)
    found = parse(archive, url, data, text.decode("utf-8", "replace"), time.time() if now is None else now)
    fetcher.remember(url, data)
    return found


def parse(archive: Archive, url: str, data: bytes, text: str, now: float) -> Release:
    """Read a Release file that was verified. VerificationError when it is not the one asked for, or stale."""
    fields = control.parse(text, url)
    if archive.check_valid_until and (until := fields.value("Valid-Until")) and _seconds(until, url) < now:
        raise VerificationError(
            f"{url}: expired on {until}: the mirror is stale (or say check-valid-until=no for an archive that is kept)"
        )
    if archive.check_date and (date := fields.value("Date")) and _seconds(date, url) > now + _CLOCK_SLACK:
        raise VerificationError(f"{url}: is dated {date}, which is in the future: is this machine's clock right?")
    names = {fields.value("Suite"), fields.value("Codename"), ""}
    suite = archive.suite.rstrip("/")
    if not archive.flat and not any(
        suite == n or suite.startswith(n + "/") or n.startswith(suite + "/") for n in names if n
    ):
        known = " or ".join(sorted(n for n in names if n)) or "nothing"
        if not _alias(suite, fields):
            raise VerificationError(f"{url}: this is the Release file of {known}, not of {suite}")
    files: dict[str, tuple[str, int]] = {}
    for line in fields.value("SHA256").splitlines():
        words = line.split()
        if len(words) == 3 and words[1].isdecimal():
            files[words[2]] = (words[0].lower(), int(words[1]))
    if not files:
        raise VerificationError(f"{url}: has no SHA256 checksums of its indexes")
    return Release(archive, fields, files, Input("release", url, hashlib.sha256(data).hexdigest(), len(data)))


def _alias(suite: str, fields: control.Stanza) -> bool:
    """Suites move (stable, oldstable): a name such as stable-security stays right when they do."""
    kinds = {"stable", "oldstable", "oldoldstable", "testing", "unstable", "lts", "devel"}
    return suite.split("-")[0] in kinds or not (fields.value("Suite") or fields.value("Codename"))


def _seconds(text: str, url: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        raise VerificationError(f"{url}: not a date that can be read: {text!r}") from None


def _without_signature(data: bytes) -> bytes:
    if not data.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        return data
    body = data.split(b"\n\n", 1)[-1] if b"\n\n" in data else data
    return body.split(b"\n-----BEGIN PGP SIGNATURE-----", 1)[0] + b"\n"
