"""`smith why`: the chain that brought a file into an image."""

from typing import Annotated

import typer

from smith.cli.terminal import show_json


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    path: Annotated[str, typer.Argument(help="The file in it.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say why a file is in an image."""
    from smith.answers.why import chain
    from smith.cli.questions import opened

    steps = chain(opened(image, platform), path)
    if json:
        show_json(steps)
        return
    for number, step in enumerate(steps):
        owner = f"  [{step['package']}]" if step["package"] else ""
        lead = "" if number == 0 else "   " * (number - 1) + "└─ "
        if number == 0:
            print(f"/{step['path']}{owner}  ({step['text']})")
        else:
            print(f"{lead}{step['text']}: /{step['path']}{owner}")
