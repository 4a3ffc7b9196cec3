"""`smith inspect --html`: one page that needs nothing else, with a map of sizes by package and folder."""

import html
import os
from collections.abc import Iterable
from typing import Any

from smith.answers.contents import OWN
from smith.errors import SmithError

WIDTH, HEIGHT = 1180.0, 620.0
SMALLEST = 3.0
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#1c2128;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.sub{color:#59636e;word-break:break-all}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{display:inline-block;height:.7em;border-radius:2px;vertical-align:middle}
svg{width:100%;height:auto;border-radius:6px}rect{stroke:#fff;stroke-width:1}
text{font:11px system-ui,sans-serif;fill:#fff;pointer-events:none}
details summary{cursor:pointer}code{font-size:.92em}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}.sub{color:#9198a1}
td,th{border-color:#30363d}rect{stroke:#0d1117}}
"""


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
    names = list(data["packages"])
    colours = {name: colour(number) for number, name in enumerate(names)}
    config = data["config"]
    runs = " ".join([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])])
    packed = sum(layer["size"] for layer in data["layers"])
    files = [entry for entry in data["files"] if entry["type"] == "file"]
    total = max(1, data["size"])
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(row['version'])}</td><td class=n>{row['files']}</td>"
        f"<td class=n>{amount(row['size'])}</td><td style='width:35%'>"
        f"<span class=bar style='background:{colours[name]};width:{max(0.3, 100 * row['size'] / total):.1f}%'>"
        "</span></td></tr>"
        for name, row in data["packages"].items()
    )
    listed = "".join(
        f"<tr><td><code>/{html.escape(entry['path'])}</code></td><td>{html.escape(entry['package'])}</td>"
        f"<td class=n>{entry['mode']}</td><td class=n>{amount(entry['size'])}</td></tr>"
        for entry in sorted(files, key=lambda entry: (-entry["size"], entry["path"]))
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(str(data['name']))}</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<h1>{html.escape(os.path.basename(str(data['name'])))}:{html.escape(str(data['tag']))}</h1>"
        f"<p class=sub>{html.escape(str(data['digest']))}<br>{html.escape(data['platform'])} · user "
        f"{html.escape(config.get('User') or '0:0')} · runs <code>{html.escape(runs or 'nothing')}</code></p>"
        f"<p><b>{len(files)}</b> files, <b>{amount(data['size'])}</b>, {amount(packed)} packed, "
        f"<b>{len(names)}</b> packages</p><h2>Where the bytes are</h2>{treemap(data, colours)}"
        f"<h2>Packages</h2><table><tr><th>Package<th>Version<th class=n>Files<th class=n>Size<th></tr>{rows}</table>"
        f"<h2>Files</h2><details><summary>all {len(files)}, largest first</summary><table><tr><th>File<th>Package"
        f"<th class=n>Mode<th class=n>Size</tr>{listed}</table></details></html>\n"
    )


def treemap(data: dict[str, Any], colours: dict[str, str]) -> str:
    """Packages as areas, their files within them."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for entry in data["files"]:
        if entry["type"] == "file" and entry["size"]:
            groups.setdefault(entry["package"] or OWN, []).append((entry["path"], entry["size"]))
    sums = sorted(((name, sum(size for _, size in each)) for name, each in groups.items() if each), key=lambda g: -g[1])
    parts: list[str] = []
    for name, (x, y, w, h) in squares(sums, 0.0, 0.0, WIDTH, HEIGHT):
        inside = sorted(groups[name], key=lambda file: -file[1])
        for path, (fx, fy, fw, fh) in squares(inside, x, y, w, h):
            if fw < SMALLEST or fh < SMALLEST:
                continue
            size = next(size for other, size in inside if other == path)
            label = path.rpartition("/")[2]
            title = html.escape(f"/{path} · {name} · {amount(size)}")
            parts.append(
                f"<rect x={fx:.1f} y={fy:.1f} width={fw:.1f} height={fh:.1f} fill='{colours.get(name, '#888')}'>"
                f"<title>{title}</title></rect>"
            )
            if fw > 6.4 * len(label) + 8 and fh > 16:
                parts.append(f"<text x={fx + 4:.1f} y={fy + 13:.1f}>{html.escape(label)}</text>")
    return f"<svg viewBox='0 0 {WIDTH:.0f} {HEIGHT:.0f}' role=img>{''.join(parts)}</svg>"


def squares(
    items: Iterable[tuple[str, int]], x: float, y: float, w: float, h: float
) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Split a rectangle by sizes (largest first) into near-squares: the squarified treemap of Bruls and others."""
    pending = [(name, float(size)) for name, size in items if size > 0]
    total = sum(size for _, size in pending)
    result: list[tuple[str, tuple[float, float, float, float]]] = []
    if not total or w <= 0 or h <= 0:
        return result
    scale = w * h / total
    pending = [(name, size * scale) for name, size in pending]
    while pending and w > 0.01 and h > 0.01:
        side = min(w, h)
        count = 1
        while count < len(pending) and _worst(pending[: count + 1], side) <= _worst(pending[:count], side):
            count += 1
        row, pending = pending[:count], pending[count:]
        area = sum(size for _, size in row)
        thick = area / side
        offset = 0.0
        for name, size in row:
            length = size / thick
            box = (x, y + offset, thick, length) if w >= h else (x + offset, y, length, thick)
            result.append((name, box))
            offset += length
        if w >= h:
            x, w = x + thick, w - thick
        else:
            y, h = y + thick, h - thick
    return result


def _worst(row: list[tuple[str, float]], side: float) -> float:
    area = sum(size for _, size in row)
    return max(max(side * side * size / area**2, area**2 / (side * side * size)) for _, size in row)


def colour(number: int) -> str:
    """Colours that stay apart: hues by the golden angle."""
    return f"hsl({(number * 137.5 + 210) % 360:.0f} 45% {38 + 8 * (number % 3)}%)"


def amount(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
