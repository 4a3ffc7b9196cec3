"""`smith diff`: what differs between two images."""

from typing import Annotated, Any

import typer

from smith.cli.terminal import show_json


def command(
    one: Annotated[str, typer.Argument(help="An image: FILE[:TAG] or a folder.")],
    two: Annotated[str, typer.Argument(help="Another one.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Explain the difference of two images. The exit code is 1 when there is one."""
    from smith.answers.difference import difference
    from smith.cli.questions import opened

    found = difference(opened(one, platform), opened(two, platform))
    if json:
        show_json(found)
    else:
        say(found)
    raise typer.Exit(0 if found["same"] else 1)


def say(found: dict[str, Any]) -> None:
    """The difference for people."""
    packages, files = found["packages"], found["files"]
    for name, version in packages["added"].items():
        print(f"+ package {name} {version}")
    for name, version in packages["removed"].items():
        print(f"- package {name} {version}")
    for name, (old, new) in packages["changed"].items():
        print(f"~ package {name} {old} -> {new}")
    for path in files["added"]:
        print(f"+ /{path}")
    for path in files["removed"]:
        print(f"- /{path}")
    for entry in files["changed"]:
        owner = f" [{entry['package']}]" if entry["package"] else ""
        print(f"~ /{entry['path']}{owner}: {', '.join(entry['changes'])}")
    for entry in found["config"]:
        print(f"~ config {entry['name']}: {entry['old']} -> {entry['new']}")
    if found["same"]:
        print("no difference")
