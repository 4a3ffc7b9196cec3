"""Recipes for well-known applications: a smith.yaml and a rootfs/ each, as data beside this file."""

import difflib
import os
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from smith import config
from smith.errors import ConfigError
from smith.spec import Spec

ADDED = ("packages", "paths", "excludes", "binaries", "mounts", "groups")
"""Lists that a preset's and the user's entries are both in; of everything else the user's word wins."""
OWN = ("preset", "directory", "file", "places", "overlays", "mock", "repositories")


def folder() -> Path:
    """Where the presets are."""
    return Path(str(resources.files("smith"))) / "presets.d"


def names() -> list[str]:
    """All presets, sorted."""
    return sorted(entry.name for entry in folder().iterdir() if (entry / "smith.yaml").is_file())


def expand(spec: Spec) -> Spec:
    """The spec with its preset's words where it is silent. ConfigError for a preset that is not there."""
    if not spec.preset:
        return spec
    known = names()
    if spec.preset not in known:
        near = difflib.get_close_matches(spec.preset, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"{spec.where('preset')}: no preset {spec.preset!r}; {hint}")
    where = folder() / spec.preset
    base = config.load(where / "smith.yaml")
    empty = Spec()
    changes: dict[str, Any] = {}
    for each in fields(Spec):
        name = each.name
        if name in OWN:
            continue
        theirs, ours = getattr(base, name), getattr(spec, name)
        if name in ADDED:
            changes[name] = tuple(dict.fromkeys((*theirs, *ours)))
        elif ours == getattr(empty, name):
            changes[name] = theirs
        elif name in ("env", "labels") and theirs:
            changes[name] = {**theirs, **ours} if name == "labels" else (*theirs, *ours)
    rootfs = where / "rootfs"
    overlays = (*spec.overlays, os.fspath(rootfs)) if rootfs.is_dir() else spec.overlays
    return replace(spec, **changes, overlays=overlays)
