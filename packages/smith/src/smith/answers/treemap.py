"""A rectangle split by sizes into near-squares: the squarified treemap of Bruls and others. Pure geometry."""

from collections.abc import Iterable

Box = tuple[float, float, float, float]
"""x, y, width, height."""


def squares(items: Iterable[tuple[str, int]], x: float, y: float, w: float, h: float) -> list[tuple[str, Box]]:
    """Split a rectangle by sizes (largest first) into near-squares, in the unit of the rectangle."""
    pending = [(name, float(size)) for name, size in items if size > 0]
    total = sum(size for _, size in pending)
    result: list[tuple[str, Box]] = []
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
