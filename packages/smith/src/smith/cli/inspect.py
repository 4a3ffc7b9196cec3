"""`smith inspect`: what an image holds, by folder and by package."""

from typing import Annotated

import typer

from smith.cli.terminal import show_json, size


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    depth: Annotated[int, typer.Option(min=1, max=20, help="How deep the tree is shown.")] = 3,
    html: Annotated[str, typer.Option(help="Write a page with a map of sizes to this file.")] = "",
    json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """Show an image: its config, sizes by folder and by package."""
    from smith.answers.contents import overview, tree_sizes
    from smith.cli.questions import opened

    known = opened(image, platform)
    data = overview(known)
    if html:
        from smith.answers.page import write

        write(data, html)
        print(f"{html}: written")
        return
    if json:
        show_json(data)
        return
    config = data["config"]
    print(f"{data['name']}:{data['tag']}  {data['digest']}")
    command_line = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    print(f"  {data['platform']}, user {config.get('User') or '0:0'}, runs {' '.join(command_line) or 'nothing'}")
    packed = sum(layer["size"] for layer in data["layers"])
    files = sum(1 for entry in data["files"] if entry["type"] == "file")
    print(f"  {files} files, {size(data['size'])}; {len(data['layers'])} layer(s), {size(packed)} packed\n")
    for level, name, amount, count in tree_sizes(known, depth):
        print(f"{size(amount):>10}  {'  ' * level}{name}{f'  ({count} files)' if count > 1 else ''}")
    print()
    for name, row in data["packages"].items():
        print(f"{size(row['size']):>10}  {name} {row['version']}  ({row['files']} files)")
