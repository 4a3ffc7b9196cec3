"""`smith inspect`: what an image holds, by folder and by package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smith.cli.terminal import line, paint, show_json, size

if TYPE_CHECKING:
    from smith.answers.contents import Row


def command(
    image: Annotated[str, typer.Argument(help="The image: FILE[:TAG] or a folder.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    depth: Annotated[int, typer.Option(min=1, max=20, help="How deep the tree is shown.")] = 4,
    every: Annotated[bool, typer.Option("--all", "-a", help="Show the small ones, too.")] = False,
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
        line(f"{html}: written")
        return
    if json:
        show_json(data)
        return
    say(data, tree_sizes(known, depth, every=every))


def say(data: dict[str, Any], rows: list[Row]) -> None:
    """The image for people: what it is, where its bytes are, whose they are."""
    config = data["config"]
    runs = " ".join([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])])
    packed = sum(layer["size"] for layer in data["layers"])
    layers = "1 layer" if len(data["layers"]) == 1 else f"{len(data['layers'])} layers"
    files = sum(1 for entry in data["files"] if entry["type"] == "file")
    line(paint(f"{data['name']}:{data['tag']}", "bold"))
    line(f"  {data['digest'] or 'no OCI manifest'}")
    line(f"  {data['platform']}, user {config.get('User') or '0:0'}, runs {runs or 'nothing'}")
    line(f"  {files} files, {size(data['size'])}; {layers}, {size(packed)} packed\n")
    line(paint(f"{'size':>10}  {'':>4}  {'files':>5}", "dim"))
    for row in rows:
        line(f"{size(row.size):>10}  {share(row.size, data['size']):>4}  {row.files:>5}  {row.branches}{row.name}")
    line(paint(f"\n{'size':>10}  {'':>4}  {'files':>5}  package", "dim"))
    for name, found in data["packages"].items():
        amounts = f"{size(found['size']):>10}  {share(found['size'], data['size']):>4}  {found['files']:>5}"
        line(f"{amounts}  {name} {paint(found['version'], 'dim')}".rstrip())


def share(part: int, whole: int) -> str:
    """Percent, where there is something to share."""
    return f"{100 * part / whole:.0f}%" if whole else ""
