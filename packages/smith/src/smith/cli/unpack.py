"""`smith unpack`: an image file to a runtime bundle."""

from typing import Annotated

import typer

from smith.cli.terminal import Bars, show_json


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    bundle: Annotated[str, typer.Argument(help="The folder to make.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    rootless: Annotated[
        bool | None, typer.Option("--rootless/--root", help="For a normal user's runtime; as the caller when not said.")
    ] = None,
    hostname: Annotated[str, typer.Option(help="The container's host name.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Make a bundle that railcar, runc and crun run."""
    from smith.imagefile import open_image
    from smith.origin import split_tag
    from smith.unpack import unpack

    file, tag = split_tag(image)
    with Bars() as progress:
        done = unpack(open_image(file, tag, platform), bundle, progress, rootless=rootless, hostname=hostname)
    if json:
        show_json({"bundle": done.bundle, "entries": done.entries, "rootless": done.rootless})
    else:
        print(f"{done.bundle}: {done.entries} entries{', for a user namespace' if done.rootless else ''}")
