"""`smith sbom`: an image's bill of materials."""

import json as documents
import sys
from typing import Annotated, Any

import typer

from smith.cli.terminal import line

FORMS = ("cyclonedx", "spdx", "table")


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    form: Annotated[str, typer.Option("--format", help="cyclonedx, spdx, or table for people.")] = "cyclonedx",
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON, which both documents are anyway.")] = False,
) -> None:
    """Print the bill of materials: the one the image carries, else one made from its package database."""
    from smith import installed, sbom
    from smith.cli.questions import opened
    from smith.errors import UsageError

    if form not in FORMS:
        raise UsageError(f"--format {form!r}: write {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    if form == "table" and json:
        raise UsageError("--format table is no JSON: leave out one of --format and --json")
    media_type, make = (sbom.SPDX, sbom.spdx) if form == "spdx" else (sbom.CYCLONEDX, sbom.cyclonedx)
    known = opened(image, platform)
    data = known.documents.get(media_type)
    if data is None:
        release = installed.read(known.tree, "etc/os-release").decode(errors="replace")
        subject = sbom.Subject(known.image.what, known.image.digest or known.image.layers[-1].diff_id)
        data = make(subject, known.packages, sbom.distribution(release))
    if form == "table":
        say(documents.loads(data))
        return
    sys.stdout.buffer.write(data + b"\n")


def say(bill: dict[str, Any]) -> None:
    """A CycloneDX document as a table: name, version, source, licence."""
    rows = []
    for component in bill.get("components", []):
        properties = {each["name"]: each["value"] for each in component.get("properties", [])}
        licences = [each.get("license", {}).get("name", "") for each in component.get("licenses", [])]
        source = properties.get("smith:source", "")
        rows.append((component["name"], component.get("version", ""), source, " ".join("; ".join(licences).split())))
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(3)]
    for row in rows:
        line("  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
