"""`smith inspect --html`: one page that needs nothing else and runs nothing: a map of sizes by package and file."""

import html
import os
from importlib import resources
from typing import Any

from smith.answers.contents import OWN
from smith.answers.treemap import Box, squares
from smith.errors import SmithError

WIDTH, HEIGHT = 1140.0, 600.0
HEADING = 17.0
SMALLEST = 3.0
LABELLED = 26.0


def write(data: dict[str, Any], path: str) -> None:
    """Write the page of an overview to `path`. SmithError when the disk does not take it."""
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(page(data))
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise SmithError(f"{path}: cannot be written: {error.strerror}") from None


def page(data: dict[str, Any]) -> str:
    """The page as text."""
    files: dict[str, list[dict[str, Any]]] = {name: [] for name in data["packages"]}
    for entry in data["files"]:
        if entry["type"] == "file":
            files[entry["package"] or OWN].append(entry)
    for entries in files.values():
        entries.sort(key=lambda entry: (-entry["size"], entry["path"]))
    style = resources.files(__package__ or "").joinpath("page.css").read_text(encoding="utf-8")
    title = f"{os.path.basename(str(data['name']))}:{data['tag']}"
    count = sum(len(entries) for entries in files.values())
    packed = sum(layer["size"] for layer in data["layers"])
    largest = max((row["size"] for row in data["packages"].values()), default=0)
    listed = "".join(
        _package(number, name, data["packages"][name], entries, largest)
        for number, (name, entries) in enumerate(files.items())
        if entries
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><style>{style}</style>"
        f"<h1>{html.escape(title)}</h1><p class=soft>{html.escape(str(data['digest']))}</p>"
        f"<p><b>{count}</b> files, <b>{amount(data['size'])}</b>, {amount(packed)} packed, "
        f"<b>{sum(1 for entries in files.values() if entries)}</b> packages</p>"
        f"<h2>Where the bytes are</h2><a class=skip href='#packages'>Skip the map</a>{_map(data['packages'], files)}"
        f"<h2 id=packages>Packages and their files</h2>{listed}<h2>How it runs</h2>{_config(data)}</html>\n"
    )


def _map(packages: dict[str, Any], files: dict[str, list[dict[str, Any]]]) -> str:
    """Packages as areas that lead to their lists, their files within them."""
    numbers = {name: number for number, name in enumerate(files)}
    sums = [(name, row["size"]) for name, row in packages.items() if row["size"]]
    parts: list[str] = []
    for name, box in squares(sums, 0.0, 0.0, WIDTH, HEIGHT):
        row = packages[name]
        text = html.escape(f"{name} {row['version']}".strip() + f", {amount(row['size'])}, {counted(row['files'])}")
        headed = box[2] > LABELLED * 2 and box[3] > HEADING * 2 and len(files[name]) > 1
        heading = f"<b>{html.escape(name)}</b>" if headed else ""
        inner = (0.0, 0.0, box[2], box[3] - HEADING if headed else box[3])
        cells = "".join(_cell(path, name, size, where, inner) for path, size, where in _inside(files[name], inner))
        parts.append(
            f"<a href='#p{numbers[name]}' aria-label='{text}' title='{text}' "
            f"style='--c:{colour(numbers[name])};{place(box, (0.0, 0.0, WIDTH, HEIGHT))}'>"
            f"{heading}<span>{cells}</span></a>"
        )
    return f"<nav class=map aria-label='Sizes by package'>{''.join(parts)}</nav>"


def _inside(entries: list[dict[str, Any]], box: Box) -> list[tuple[str, int, Box]]:
    """The files of a package as areas within its own; what could not be seen is left out."""
    sizes = {entry["path"]: entry["size"] for entry in entries}
    found = [(path, sizes[path], where) for path, where in squares(sizes.items(), *box)]
    return [each for each in found if each[2][2] >= SMALLEST and each[2][3] >= SMALLEST]


def _cell(path: str, package: str, size: int, box: Box, around: Box) -> str:
    label = html.escape(path.rpartition("/")[2]) if box[2] > LABELLED and box[3] > HEADING else ""
    title = html.escape(f"/{path}, {package}, {amount(size)}")
    return f"<i style='{place(box, around)}' title='{title}'>{label}</i>"


def place(box: Box, around: Box) -> str:
    """A box as CSS, in percent of the one around it."""
    x, y, w, h = (
        100 * box[0] / around[2],
        100 * box[1] / around[3],
        100 * box[2] / around[2],
        100 * box[3] / around[3],
    )
    return f"left:{x:.2f}%;top:{y:.2f}%;width:{w:.2f}%;height:{h:.2f}%"


def _package(number: int, name: str, row: dict[str, Any], entries: list[dict[str, Any]], largest: int) -> str:
    """A line that opens to the files of the package."""
    rows = "".join(
        f"<tr><td><code>/{html.escape(entry['path'])}</code></td><td class='n m'>{entry['mode']}</td>"
        f"<td class=n>{amount(entry['size'])}</td></tr>"
        for entry in entries
    )
    width = f"{100 * row['size'] / max(1, largest):.1f}%"
    return (
        f"<details><summary><b>{html.escape(name)}</b><span class=soft>{html.escape(row['version'])}</span>"
        f"<span class=n>{counted(row['files'])}</span><span class=n>{amount(row['size'])}</span>"
        f"<span class=bar style='--c:{colour(number)};width:{width}'></span></summary>"
        f"<table id=p{number}>{rows}</table></details>"
    )


def _config(data: dict[str, Any]) -> str:
    """What the image's config says, and its layers."""
    config = data["config"]
    lines = [
        ("Platform", data["platform"]),
        ("User", config.get("User") or "0:0"),
        ("Entrypoint", " ".join(config.get("Entrypoint") or [])),
        ("Command", " ".join(config.get("Cmd") or [])),
        ("Folder", config.get("WorkingDir") or ""),
        *(("Environment", entry) for entry in config.get("Env") or []),
        ("Ports", ", ".join(config.get("ExposedPorts") or {})),
        ("Volumes", ", ".join(config.get("Volumes") or {})),
        *(("Label", f"{key}={value}") for key, value in (config.get("Labels") or {}).items()),
        *(("Layer", f"{layer['digest'] or layer['diffId']}, {amount(layer['size'])}") for layer in data["layers"]),
    ]
    shown = [(name, value) for name, value in lines if value]
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{html.escape(str(value))}</dd>' for name, value in shown)}</dl>"


def colour(number: int) -> str:
    """Colours that stay apart (hues by the golden angle), dark enough for white text."""
    return f"hsl({(number * 137.5 + 210) % 360:.0f} 42% {32 - 4 * (number % 3)}%)"


def counted(count: int) -> str:
    """Files in words."""
    return "1 file" if count == 1 else f"{count} files"


def amount(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
