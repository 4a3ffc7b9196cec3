"""`smith sbom`: an image's bill of materials."""

import sys
from typing import Annotated

import typer


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    form: Annotated[str, typer.Option("--format", help="cyclonedx or spdx.")] = "cyclonedx",
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
) -> None:
    """Print the bill of materials: the one the image carries, else one made from its package database."""
    from smith import installed, sbom
    from smith.cli.questions import opened
    from smith.errors import UsageError

    makers = {"cyclonedx": (sbom.CYCLONEDX, sbom.cyclonedx), "spdx": (sbom.SPDX, sbom.spdx)}
    if form not in makers:
        raise UsageError(f"--format {form!r}: write cyclonedx or spdx")
    media_type, make = makers[form]
    known = opened(image, platform)
    data = known.documents.get(media_type)
    if data is None:
        release = installed.read(known.tree, "etc/os-release").decode(errors="replace")
        subject = sbom.Subject(known.image.what, known.image.digest or known.image.layers[-1].diff_id)
        data = make(subject, known.packages, sbom.distribution(release))
    sys.stdout.buffer.write(data + b"\n")
