"""A locked build: it asks no repository for news, solves nothing and checks no dates, but has every input by its
digest, from the kept files (`--vendor`), the cache, the address of that day, or the distribution's snapshot archive.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from smith import applications, hostlock
from smith.cache import Cache
from smith.errors import InputError, SmithError, VerificationError
from smith.lock import FAMILIES, PACKAGE, Entry, Lock, absolute, path_of, relative
from smith.progress import Progress
from smith.sources import Input, SourceResult
from smith.spec import Spec

if TYPE_CHECKING:
    from smith.fetch import Fetcher

_SNAPSHOTS = (
    (re.compile(r"^https?://[^/]*debian\.org/(debian(?:-security)?)/(.*)$"), "https://snapshot.debian.org/archive"),
    (re.compile(r"^https?://[^/]*ubuntu\.com/(ubuntu)/(.*)$"), "https://snapshot.ubuntu.com"),
)


def vendor(lock: Lock, folder: str, directory: str, cache: Cache) -> Lock:
    """Copy every package of the lock from the cache into `folder`; the lock that names it, relative to `directory`."""
    os.makedirs(folder, exist_ok=True)
    for entry in lock.files():
        target = os.path.join(folder, _file_name(entry))
        temporary = f"{target}.{os.getpid()}.tmp"
        try:
            with cache.open(entry.sha256) as source, open(temporary, "wb") as sink:
                while data := source.read(1 << 20):
                    sink.write(data)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return replace(lock, vendor=os.path.relpath(folder, directory))


def load(spec: Spec, lock: Lock, cache: Cache, progress: Progress) -> SourceResult:
    """The source of a locked build. VerificationError, naming the input, when one is not what it was."""
    bring(lock, spec, cache, progress)
    result = _load(spec, lock, cache, progress)
    result.applications = [
        Input(e.kind, absolute(e.url, spec.directory), e.sha256, e.size, e.name, e.version) for e in lock.applications()
    ]
    return result


def _load(spec: Spec, lock: Lock, cache: Cache, progress: Progress) -> SourceResult:
    if lock.type == "host":
        return hostlock.load(spec, lock)
    if lock.type not in FAMILIES:
        return _compared(spec, lock, cache, progress)
    module = importlib.import_module(f"smith.sources.{lock.type}.locked")
    apart = (*PACKAGE, *applications.KINDS)
    others = [Input(e.kind, e.url, e.sha256, e.size) for e in lock.entries if e.kind not in apart]
    result: SourceResult = module.load(lock.packages(), cache, lock.platform, others)
    return result


def bring(lock: Lock, spec: Spec, cache: Cache, progress: Progress) -> None:
    """Have all files of a lock in the cache. InputError, naming the first that cannot be had."""
    files = lock.files()
    if not files:
        return
    from smith.fetch import Fetcher, in_parallel

    fetcher = Fetcher(cache, progress, verify_tls=not spec.insecure)
    in_parallel(lambda entry: _bring(entry, lock, spec.directory, fetcher), files, 6, fetcher.stop)


def _compared(spec: Spec, lock: Lock, cache: Cache, progress: Progress) -> SourceResult:
    from smith.fetch import redacted

    module = importlib.import_module(f"smith.sources.{lock.type}")
    result: SourceResult = module.load(spec, cache, progress)
    for item in result.inputs:
        # An image and its layers have one address.
        kind, url = item.kind, relative(item.url, spec.directory)
        expected = [entry.sha256 for entry in lock.entries if (entry.kind, entry.url) == (kind, url)]
        if item.sha256 not in expected:
            has = " or ".join(f"sha256:{sha256}" for sha256 in expected) or "nothing"
            raise VerificationError(
                f"{redacted(item.url)}: its {kind} is sha256:{item.sha256}, and {path_of(spec)} has {has}"
            )
    return result


def _bring(entry: Entry, lock: Lock, directory: str, fetcher: Fetcher) -> None:
    """Have one input in the cache, from wherever its digest can be had."""
    cache = fetcher.cache
    if cache.has(entry.sha256, entry.size or None):
        return
    candidates = [absolute(entry.url, directory), *_snapshots(entry.url, lock.made)]
    if lock.vendor:
        kept = os.path.abspath(os.path.join(directory, lock.vendor, _file_name(entry)))
        candidates.insert(0, f"file://{kept}")
    failures = []
    for url in candidates:
        try:
            fetcher.fetch(url, entry.sha256, entry.size or None)
            return
        except SmithError as error:
            failures.append(str(error))
    raise InputError(f"{entry.name} {entry.version} (sha256:{entry.sha256}) cannot be had: {'; '.join(failures)}")


def _snapshots(url: str, made: str) -> Sequence[str]:
    for pattern, base in _SNAPSHOTS:
        match = pattern.match(url)
        if match:
            return [f"{base}/{match[1]}/{made}/{match[2]}"]
    return []


def _file_name(entry: Entry) -> str:
    return f"{entry.sha256[:16]}-{os.path.basename(entry.url)}"
