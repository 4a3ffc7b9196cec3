"""`smith verify`: whether an image is whole and keeps the promises of a microcontainer."""

from typing import Annotated

import typer

from smith.cli.terminal import show_json


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check digests, documents and the promises of a microcontainer. The exit code is 3 when one is broken."""
    from smith.answers.promises import broken
    from smith.cli.questions import opened

    known = opened(image, platform)
    found = broken(known)
    if json:
        show_json({"image": image, "digest": known.image.digest, "ok": not found, "broken": found})
    else:
        for sentence in found[:50]:
            print(f"{image}: {sentence}")
        if len(found) > 50:
            print(f"{image}: {len(found) - 50} more")
        if not found:
            print(f"{image}: {known.image.digest}: all promises hold ({len(known.tree)} entries)")
    raise typer.Exit(3 if found else 0)
