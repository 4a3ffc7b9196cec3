"""One spec for several platforms: an image each, from the packages of that platform; nothing of them is run."""

from collections.abc import Iterable, Sequence

from ocicommon import platform as platforms

from smith import builder
from smith.builder import Report
from smith.cache import Cache
from smith.errors import InputError, UsageError
from smith.progress import Progress
from smith.spec import Spec


def wanted(texts: Iterable[str]) -> tuple[str, ...]:
    """The platforms of `--platform`, each with commas or not; one is as it was written, and none is the empty text.

    UsageError for what is no platform, and for one that is there twice.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    if len(names) < 2:
        return (names[0] if names else "",)
    found = []
    for name in names:
        try:
            plain = str(platforms.parse(name))
        except ValueError as error:
            raise UsageError(f"--platform: {error}") from None
        if plain in found:
            raise UsageError(f"--platform: {plain} is there twice ({', '.join(names)}): name each platform once")
        found.append(plain)
    return tuple(found)


def build(spec: Spec, names: Sequence[str], cache: Cache, progress: Progress) -> list[Report]:
    """An image for each platform of `names`. UsageError, InputError, and what `builder.build` raises."""
    if len(names) == 1:
        return [builder.build(spec, cache, progress)]
    reports = []
    for name in names:
        report = builder.build(builder.with_options(spec, platform=name), cache, progress)
        if platforms.rank(platforms.parse(name), platforms.parse(report.platform)) is None:
            raise InputError(f"{spec.file or spec.preset}: its source is for {report.platform}, not for {name}")
        reports.append(report)
    return reports
