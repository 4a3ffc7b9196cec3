"""Every key of smith.yaml, as data: what it may hold and what it means. The reader and the JSON schema use it."""

from dataclasses import dataclass
from typing import Any, Final

from smith.spec import TYPES

TEXT: Final = "text"
FLAG: Final = "flag"
LIST: Final = "list"
PATTERNS: Final = "patterns"
MAP: Final = "map"
NAMES: Final = "names"
SECTION: Final = "section"
SECTIONS: Final = "sections"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `kind` is one of the constants above, `field` its name in Spec (or Mock, Repository)."""

    name: str
    kind: str
    meaning: str
    choices: tuple[str, ...] = ()
    keys: "tuple[Key, ...]" = ()

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


MOCK = (
    Key("config", TEXT, "A mock configuration whose repositories are used."),
    Key("pre-build", LIST, "Commands run on this machine before the build; a failure ends it."),
    Key("post-build", LIST, "Commands run on this machine after the build, whether it went well or not."),
    Key("deps", LIST, "Further packages to have beside the one that is built."),
    Key("debuginfo", FLAG, "Add the debug files of every ELF file kept."),
    Key("debugdeps", LIST, "Packages whose debug files are wanted too."),
    Key("debugpaths", LIST, "Globs of debug files."),
)

REPOSITORY = (
    Key("url", TEXT, "Where it is: a mirror (deb) or a base URL (rpm, apk)."),
    Key("suites", LIST, "Suites of a Debian mirror, such as bookworm."),
    Key("components", LIST, "Components of a Debian mirror; main when silent."),
    Key("keys", LIST, "Files with the keys that sign it."),
    Key("name", TEXT, "What it is called in messages."),
    Key("options", MAP, "Further options of the native tool's own configuration."),
)

KEYS = (
    Key("type", TEXT, "What kind of thing `package` is.", choices=(*TYPES, "mock")),
    Key("package", TEXT, "An image (URL, file, store) or a package (name, file) to take files from."),
    Key("packages", LIST, "Packages whose own files are wanted, documentation and headers left out."),
    Key("paths", PATTERNS, "Globs of the files wanted, from the package's root."),
    Key("excludes", PATTERNS, "Globs of files never wanted, dependencies included."),
    Key("binaries", LIST, "Programs wanted, by name as a shell would find them."),
    Key("parent", TEXT, "An image file[:tag] whose layers go below the new one."),
    Key("nss", FLAG, "Write passwd, group and nsswitch.conf, and bring the libnss modules."),
    Key("root", FLAG, "Run as 0:0."),
    Key("user", TEXT, "USER[:GROUP], by name or number; 10:10 when silent."),
    Key("groups", LIST, "Names of further groups, numbered from gid+1."),
    Key("mounts", LIST, "Directories to make as mount points, and list as volumes."),
    Key("entrypoint", LIST, "The image's entrypoint."),
    Key("cmd", LIST, "The image's default arguments."),
    Key("dir", TEXT, "The working directory."),
    Key("env", LIST, "NAME=VALUE entries of the environment."),
    Key("labels", MAP, "Labels of the image."),
    Key("ports", NAMES, "Ports as PORT/PROTOCOL."),
    Key("mock", SECTION, "How rpm packages are prepared.", keys=MOCK),
    Key("preset", TEXT, "A recipe that comes with smith, such as nginx."),
    Key("requirements", TEXT, "A requirements file of pip: its wheels go where the image's Python looks for them."),
    Key("package-json", TEXT, "A package.json with its lock file: it and its packages go to /app."),
    Key(
        "scripts",
        TEXT,
        "none: maintainer scripts do not run, their usual effects are made; userns: they run in a user namespace.",
        choices=("none", "userns"),
    ),
    Key("compression", TEXT, "How layers are compressed.", choices=("gzip", "zstd", "none")),
    Key("repositories", SECTIONS, "Where packages come from, instead of this machine's own sources.", keys=REPOSITORY),
    Key("platform", TEXT, "OS/ARCH[/VARIANT], when not this machine's."),
)


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of smith.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "smith.yaml",
        **_object(KEYS),
    }


def _object(keys: tuple[Key, ...]) -> dict[str, Any]:
    properties = {key.name: {"description": key.meaning, **_or_nothing(_value(key))} for key in keys}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _or_nothing(value: dict[str, Any]) -> dict[str, Any]:
    """The same, or nothing after the colon, which is as if the key were not there."""
    if "enum" in value:
        return {**value, "enum": [*value["enum"], None]}
    if "anyOf" in value:
        return {**value, "anyOf": [*value["anyOf"], {"type": "null"}]}
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    return {**value, "type": [*types, "null"]}


def _value(key: Key) -> dict[str, Any]:
    text = {"type": ["string", "number", "boolean"]}
    texts = {"type": "array", "items": text}
    if key.kind == TEXT:
        return {"enum": list(key.choices)} if key.choices else text
    if key.kind == FLAG:
        return {"type": "boolean"}
    if key.kind == LIST:
        return texts
    if key.kind == PATTERNS:
        optional = {
            "type": "object",
            "additionalProperties": False,
            "required": ["path"],
            "properties": {"path": text, "optional": {"type": ["boolean", "null"]}},
        }
        return {"type": "array", "items": {"anyOf": [text, optional]}}
    if key.kind == MAP:
        return {"type": "object", "additionalProperties": text}
    if key.kind == NAMES:
        return {"anyOf": [texts, {"type": "object", "additionalProperties": {"type": ["object", "null"]}}]}
    if key.kind == SECTION:
        return _object(key.keys)
    return {"type": "array", "items": {**_object(key.keys), "required": ["url"]}}
