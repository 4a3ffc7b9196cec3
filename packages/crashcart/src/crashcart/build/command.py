"""``crashcart build`` as data in, data out: the one door to ``crashcart.build``, which needs smith."""

from __future__ import annotations

from typing import Any

from crashcart import report
from crashcart.errors import CrashcartError


class _Told:
    """Passes remarks of the build on to the user who asked for them."""

    def start(self, label: str, total: int | None = None) -> _Task:
        report.note(label)
        return _Task()

    def note(self, text: str) -> None:
        report.note(text)


class _Task:
    def advance(self, amount: int) -> None:
        return None

    def done(self) -> None:
        return None


def run(
    output: str,
    preset: str,
    packages: list[str],
    format: str,
    platform: str,
    *,
    manuals: bool = True,
    offline: bool = False,
) -> dict[str, Any]:
    """Build an image; what came of it. CrashcartError when smith is not installed, and for all that goes wrong."""
    try:
        from smith.cache import Cache
        from smith.errors import SmithError

        from crashcart.build import make, recipes
    except ImportError as error:
        raise CrashcartError(
            f"building images needs smith ({error}): install `crashcart[build]`, or use --dir with a directory"
        ) from error
    kind = format or (recipes.FORMATS.get(preset) if not packages else None) or "erofs"
    order = make.Order(output, make.recipe(preset, packages), kind, platform, manuals, offline)
    try:
        built = make.build(order, Cache(), _Told())
    except SmithError as error:
        raise CrashcartError(str(error)) from error
    except OSError as error:
        raise CrashcartError(f"cannot write {output}: {error.strerror or error}") from error
    for note in built.notes:
        report.note(note)
    return {
        "output": built.output,
        "size": built.size,
        "unpacked": built.unpacked,
        "files": built.files,
        "packages": built.document["packages"],
    }
