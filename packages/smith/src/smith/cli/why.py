"""`smith why`: the chain that brought a file into an image."""

from typing import Annotated

import typer

from smith.cli.terminal import line, paint, show_json


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
        owner = paint(f"  [{step['package']}]", "dim") if step["package"] else ""
        lead = "   " * number
        if number:
            line(f"{lead[3:]}└─ {paint(step['text'], 'dim')}")
        line(f"{lead}/{step['path']}{owner}")
        if not number:
            line(f"{'│  ' if len(steps) > 1 else '   '}{paint(step['text'], 'dim')}")
