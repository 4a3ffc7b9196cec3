"""`smith ls`: the files of an image."""

from typing import Annotated

import typer

from smith.cli.terminal import line, show_json


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    path: Annotated[str, typer.Argument(help="The folder or file in it.")] = "/",
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All that is below, by full paths.")] = False,
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List files of an image."""
    from smith.answers.contents import entry, listing, recipe_text
    from smith.cli.questions import opened
    from smith.errors import SmithError

    known = opened(image, platform)
    walk = known.tree.walk(path)
    if walk.node is None:
        raise SmithError(f"{image}: there is no {path} in it")
    if json or recursive:
        paths = list(known.tree.descendants(walk.path)) if walk.node.is_dir else [walk.path]
        if json:
            show_json([entry(known, each, known.tree[each]) for each in paths])
            return
        for each in paths:
            line("/" + recipe_text(each).replace("\n", "\\n"))
        return
    for each in listing(known, path):
        line(each)
