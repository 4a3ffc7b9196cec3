"""`smith diff`: what differs between two images."""

from typing import Annotated, Any

import typer

from smith.cli.terminal import line, paint, show_json, size

COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def command(
    one: Annotated[str, typer.Argument(help="An image: FILE[:TAG] or a folder.")],
    two: Annotated[str, typer.Argument(help="Another one.")],
    platform: Annotated[str, typer.Option(help="OS/ARCH[/VARIANT] to choose from an index.")] = "",
    every: Annotated[bool, typer.Option("--all", "-a", help="Name the files of new and lost packages, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Explain the difference of two images. The exit code is 1 when there is one."""
    from smith.answers.difference import difference
    from smith.cli.questions import opened

    found = difference(opened(one, platform), opened(two, platform))
    if json:
        show_json(found)
    elif found["same"]:
        line("no difference")
    else:
        say(found, every)
    raise typer.Exit(0 if found["same"] else 1)


def say(found: dict[str, Any], every: bool) -> None:
    """The difference for people: by package, then what belongs to none, the config and the packing."""
    old, new = found["sizes"]
    if old != new:
        line(f"{size(old)} -> {size(new)} ({signed(new - old)})")
    for group in found["groups"]:
        whole = say_package(group)
        if every or not whole:
            say_files(group, "  " if group["package"] else "")
    for entry in found["config"]:
        line(f"{mark('~')} config {entry['name']}: {shown(entry['old'])} -> {shown(entry['new'])}")
    for text in found["layers"]:
        line(f"{mark('~')} {text}")


def say_package(group: dict[str, Any]) -> bool:
    """The heading of one package; whether it says all: a package that only came or only went."""
    old, new = group["versions"]
    if not group["package"]:
        return False
    sizes = group["sizes"]
    if old and new:
        version = f"{old} -> {new}" if old != new else new
        change = f"  {signed(sizes[1] - sizes[0])}" if sizes[0] != sizes[1] else ""
        line(f"{mark('~')} package {paint(group['package'], 'bold')} {version}{change}")
        return False
    sign, paths, total = ("+", group["added"], sizes[1]) if new else ("-", group["removed"], sizes[0])
    files = "1 entry" if len(paths) == 1 else f"{len(paths)} entries"
    line(f"{mark(sign)} package {paint(group['package'], 'bold')} {new or old}  {files}, {size(total)}")
    return not group["changed"]


def say_files(group: dict[str, Any], lead: str) -> None:
    """The files of one package."""
    for path in group["added"]:
        line(f"{lead}{mark('+')} /{path}")
    for path in group["removed"]:
        line(f"{lead}{mark('-')} /{path}")
    for entry in group["changed"]:
        changes = entry["changes"]
        if len(changes) == 1:
            line(f"{lead}{mark('~')} /{entry['path']}: {changes[0]}")
            continue
        line(f"{lead}{mark('~')} /{entry['path']}")
        for text in changes:
            line(f"{lead}    {text}")


def mark(sign: str) -> str:
    """+, - or ~ in its colour."""
    return paint(sign, COLOURS[sign])


def signed(change: int) -> str:
    """A difference of sizes for people."""
    return f"{'-' if change < 0 else '+'}{size(abs(change))}"


def shown(value: Any) -> str:
    """A value of the config as JSON has it; nothing where there is none."""
    import json

    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
