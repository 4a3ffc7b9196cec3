"""How the same files were packed differently: the tars of two images' layers, and their compression."""

import tarfile
from typing import Any

from smith.imagefile import Image, Layer
from smith.inflate import compression_of


def packing(one: Image, two: Image, *, same_files: bool) -> list[str]:
    """Sentences about the layers. What differs inside of their tars is looked for if the files are the same."""
    if len(one.layers) != len(two.layers):
        return [f"{len(one.layers)} layers -> {len(two.layers)} layers"]
    found = []
    for number, (old, new) in enumerate(zip(one.layers, two.layers, strict=True), 1):
        where = "layer" if len(one.layers) == 1 else f"layer {number}"
        if old.diff_id != new.diff_id:
            found += [f"{where}: {text}" for text in (_tars(old, new) if same_files else [])]
        elif old.descriptor.get("digest") != new.descriptor.get("digest"):
            kinds = [compression_of(layer.blob.read_at(0, 6)) for layer in (old, new)]
            how = f"{kinds[0]} -> {kinds[1]}" if kinds[0] != kinds[1] else f"{kinds[0]} of another program or level"
            found.append(
                f"{where}: the same tar, compressed otherwise ({how}, {old.blob.size} -> {new.blob.size} bytes)"
            )
    return found


def _tars(old: Layer, new: Layer) -> list[str]:
    """Sentences about two tars, entry by entry; the first of each kind of difference stands for all."""
    one, two = _entries(old), _entries(new)
    names = [entry["name"] for entry in one], [entry["name"] for entry in two]
    if sorted(names[0]) != sorted(names[1]):
        return [f"another set of entries ({len(one)} -> {len(two)})"]
    if names[0] != names[1]:
        place, was, now = next((n, a, b) for n, (a, b) in enumerate(zip(*names, strict=True), 1) if a != b)
        return [f"the same entries in another order: number {place} was {was!r}, is {now!r}"]
    found: dict[str, list[str]] = {}
    for before, after in zip(one, two, strict=True):
        for key in before:
            if before[key] != after.get(key):
                example = f"{key} of {before['name']!r}: {before[key]!r} -> {after.get(key)!r}"
                found.setdefault(key, []).append(example)
    texts = [f"{each[0]}" + (f", and of {len(each) - 1} more" if len(each) > 1 else "") for each in found.values()]
    return texts or ["the same entries, in headers or padding of another form"]


def _entries(layer: Layer) -> list[dict[str, Any]]:
    """What each header says, by Python's own reader."""
    inflated = layer.inflate()
    with inflated.content.open() as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        return [
            {
                "name": entry.name,
                "type": entry.type.decode("ascii", "replace"),
                "mode": f"{entry.mode:04o}",
                "owner": f"{entry.uid}:{entry.gid}",
                "owner's name": f"{entry.uname}:{entry.gname}",
                "time": entry.mtime,
                "size": entry.size,
                "link": entry.linkname,
                "pax records": {key: value for key, value in sorted(entry.pax_headers.items()) if key != "path"},
            }
            for entry in archive
        ]
