"""Where files come from. Each source is a `load(spec, cache, progress)` that gives a SourceResult."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smith.tree import Tree


@dataclass(frozen=True, slots=True)
class Package:
    """One package that gave files.

    `files` are tree paths (no leading slash). `metadata` is its entry in the native database's own form:
    a dpkg status stanza, an rpm header blob, an apk `installed` stanza. `key` is what Node.package holds.
    """

    name: str
    version: str
    arch: str
    family: str
    files: Sequence[str] = ()
    source: str = ""
    licence: str = ""
    url: str = ""
    sha256: str = ""
    metadata: bytes = b""
    source_version: str = ""

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that was read to build: `kind` is image, layer, package, release, file ...; `size` in bytes.

    `name` and `version` are those of a package that is in no native database: a wheel, a package of npm.
    """

    kind: str
    url: str
    sha256: str
    size: int = 0
    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that a package runs when it is installed. Without `interpreter` its first line names one.

    `path` is where it lies while it runs, where that matters to it; `beside` are files that it expects, by tree path.
    """

    package: str
    name: str
    body: bytes
    arguments: tuple[str, ...] = ()
    interpreter: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class SourceResult:
    """What a source gives: the files, who owns them, what was read.

    `image_config` is the config document (image spec) of an image source, else None.
    `platform` is `os/architecture[/variant]` in the image spec's words, for example linux/arm64/v8.
    `scripts` are those that installing would run, in its order. `applications` are the packages of `requirements` and
    `package-json` as a lock file has them: files of the cache; None: there is no lock.
    """

    tree: Tree
    packages: list[Package] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    image_config: dict[str, Any] | None = None
    platform: str = "linux/amd64"
    scripts: list[Script] = field(default_factory=list)
    applications: list[Input] | None = None
