"""What smith.yaml says, once read: plain data that every stage takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

TYPES = ("oci", "rpm", "deb", "apk", "host")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of `paths` or `excludes`. `line` is 0 when it does not come from a file."""

    glob: str
    optional: bool = False
    line: int = 0
    column: int = 0
    file: str = ""

    def where(self, file: str) -> str:
        """FILE:LINE:COLUMN, or just `file`."""
        return f"{self.file or file}:{self.line}:{self.column}" if self.line else file


@dataclass(frozen=True, slots=True)
class Repository:
    """One entry of `repositories`: for deb a mirror with suites and components, for rpm and apk a base URL."""

    url: str
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mock:
    """The `mock:` section of the original: how rpm packages are prepared."""

    config: str = ""
    pre_build: tuple[str, ...] = ()
    post_build: tuple[str, ...] = ()
    deps: tuple[str, ...] = ()
    debuginfo: bool = False
    debug_deps: tuple[str, ...] = ()
    debug_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """smith.yaml. Empty text and empty tuples mean "not said"; entrypoint, cmd, env, ports, labels None likewise.

    `package` is one URL, file or name; `packages` are names. `directory` is the folder of smith.yaml, which
    relative files are taken from. `overlays` are folders of a preset, laid before rootfs/. `insecure` (any TLS
    certificate), `fast` (no news from repositories) and `locked` (no build without a lock file) are the command
    line's. `platform` is `os/arch[/variant]` or empty for the machine's own. `places` are line and column of each
    key, and of the entries of lists as (key, entry): see `where`.
    """

    type: str = ""
    package: str = ""
    packages: tuple[str, ...] = ()
    paths: tuple[Pattern, ...] = ()
    excludes: tuple[Pattern, ...] = ()
    binaries: tuple[str, ...] = ()
    parent: str = ""
    nss: bool = False
    root: bool = False
    user: str = ""
    groups: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    dir: str = ""
    env: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None
    ports: tuple[str, ...] | None = None
    mock: Mock = Mock()
    preset: str = ""
    requirements: str = ""
    package_json: str = ""
    scripts: str = "none"
    compression: str = "gzip"
    repositories: tuple[Repository, ...] = ()
    platform: str = ""
    overlays: tuple[str, ...] = ()
    insecure: bool = False
    fast: bool = False
    locked: bool = False
    directory: str = "."
    file: str = "smith.yaml"
    places: Mapping[str | tuple[str, str], tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def where(self, key: str, entry: str = "") -> str:
        """FILE:LINE:COLUMN of a key, or of an entry of its list; FILE for what no line of it says."""
        place = self.places.get((key, entry)) or self.places.get(key)
        return f"{self.file}:{place[0]}:{place[1]}" if place else self.file
