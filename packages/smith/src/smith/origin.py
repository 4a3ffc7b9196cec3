"""What `type`, `package`, `packages` and `paths` mean together: one table, one function."""

import os
import re
from dataclasses import dataclass, replace

from smith.errors import ConfigError
from smith.spec import Spec

IMAGE_FILE = re.compile(r"(?P<file>.+?\.(?:tar|tar\.gz|tgz|tar\.zst))(?::(?P<tag>[\w][\w.-]{0,127}))?", re.ASCII)
STORES = ("docker-daemon:", "containers-storage:")
FAMILY_FILES = (
    ("deb", "/var/lib/dpkg/status"),
    ("rpm", "/usr/lib/sysimage/rpm"),
    ("rpm", "/var/lib/rpm"),
    ("apk", "/lib/apk/db/installed"),
)

COMBINATIONS = {
    # (package, packages, paths): what is taken
    "oci": {
        (True, False, False): "the whole image",
        (True, True, False): "the files of those packages of the image",
        (True, False, True): "what the globs match in the image",
        (True, True, True): "the files of those packages and what the globs match",
    },
    "packages": {
        (True, False, False): "the package's own files",
        (False, True, False): "the packages' own files",
        (True, True, False): "the own files of all of them",
        (True, False, True): "what the globs match in the package and all it depends on",
        (False, True, True): "the packages' own files and what the globs match",
        (True, True, True): "the files of `packages` and what the globs match",
    },
    "host": {
        (True, False, False): "the installed package's own files",
        (False, True, False): "the installed packages' own files",
        (True, True, False): "the own files of all of them",
        (False, False, True): "what the globs match on this machine",
        (True, False, True): "the package's own files and what the globs match",
        (False, True, True): "the packages' own files and what the globs match",
        (True, True, True): "the own files of all of them and what the globs match",
    },
    "": {
        (False, False, False): "rootfs/ beside smith.yaml",
    },
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The decided type, with a sentence for the terminal when smith had to choose."""

    spec: Spec
    chosen: str = ""


def decide(spec: Spec, *, host_family: str | None = None) -> Origin:
    """Fill in a silent `type` and refuse what does not go together. ConfigError. `host_family` is for tests."""
    kind, chosen = spec.type, ""
    if not kind and (spec.package or spec.packages):
        kind = _by_name(spec.package)
        if not kind:
            kind = host_family if host_family is not None else family()
            if not kind:
                raise ConfigError(
                    f"{spec.where('package' if spec.package else 'packages')}: "
                    f"{spec.package or spec.packages[0]!r} is the name of a package, and this machine has "
                    f"no dpkg, rpm or apk database to tell its family: write `type: deb`, rpm or apk"
                )
            what = spec.package or ", ".join(spec.packages)
            chosen = f"type is not said: taking {what} from this machine's {kind} sources"
    elif not kind and (spec.paths or spec.binaries):
        where = spec.where("paths" if spec.paths else "binaries")
        raise ConfigError(f"{where}: `paths` without `package` or `type`: write `type: host` for this machine's files")
    group = {"rpm": "packages", "deb": "packages", "apk": "packages"}.get(kind, kind)
    said = (bool(spec.package), bool(spec.packages), bool(spec.paths or spec.binaries))
    if said not in COMBINATIONS[group]:
        have = [name for name, there in zip(("package", "packages", "paths"), said, strict=True) if there]
        need = "`package` names the image" if kind == "oci" else "`package` or `packages` names what to take"
        raise ConfigError(
            f"{spec.where('type')}: type {kind} with {' and '.join(have) or 'none of package, packages, paths'}: {need}"
        )
    if kind in ("deb", "rpm", "apk") and spec.package and _by_name(spec.package) == "oci":
        raise ConfigError(
            f"{spec.where('package')}: type {kind}, but {spec.package!r} is an image: write `type: oci` or leave it out"
        )
    return Origin(replace(spec, type=kind), chosen)


def family(root: str = "/") -> str:
    """deb, rpm or apk by the package database under `root`; empty when there is none."""
    for kind, path in FAMILY_FILES:
        if os.path.exists(os.path.join(root, path.lstrip("/"))):
            return kind
    return ""


def split_tag(text: str) -> tuple[str, str]:
    """`file.tar.gz:tag` as (file, tag); the tag is empty when it is not said."""
    match = IMAGE_FILE.fullmatch(text)
    if match:
        return match["file"], match["tag"] or ""
    return text, ""


def wants_package_lists(spec: Spec) -> tuple[str, ...]:
    """The packages whose own file lists are selected, by the table above."""
    names = list(spec.packages)
    if spec.package and spec.type in ("deb", "rpm", "apk", "host"):
        own_too = spec.type == "host" or not (spec.paths or spec.binaries)
        if own_too and not spec.package.endswith("/"):
            names.insert(0, spec.package)
    return tuple(dict.fromkeys(names))


def _by_name(package: str) -> str:
    if not package:
        return ""
    if package.startswith(("https://", "http://", *STORES)) or IMAGE_FILE.fullmatch(package):
        return "oci"
    for ending, kind in ((".rpm", "rpm"), (".deb", "deb"), (".apk", "apk")):
        if package.endswith(ending):
            return kind
    return ""
