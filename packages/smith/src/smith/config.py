"""Reading smith.yaml: strict, and every refusal says file:line:column and what to write instead."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from smith import keys
from smith.errors import ConfigError
from smith.keys import Key
from smith.spec import Mock, Pattern, Repository, Spec

FILE = "smith.yaml"
MAX_SIZE = 4 << 20


def load(path: Path | str) -> Spec:
    """The Spec of a smith.yaml file. ConfigError, with place and way out, for anything that it does not know."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such file; write one, or name it with --conf") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{name}: is over {MAX_SIZE >> 20} MiB, which no smith.yaml is")
    return parse(data, file=name, directory=os.path.dirname(name) or ".")


def parse(data: bytes | str, *, file: str = FILE, directory: str = ".") -> Spec:
    """As `load`, from text. `directory` is where relative files of the yaml are looked for."""
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split()) or "nested too deep"
        raise ConfigError(f"{file}: this is no YAML: {text}") from None
    if root is None:
        return Spec(directory=directory, file=file)
    reader = _Reader(file)
    values = reader.mapping(root, keys.KEYS, "smith.yaml")
    values["places"] = dict(_places(root))
    if values.get("type") == "mock":
        values["type"] = "rpm"
    return Spec(directory=directory, file=file, **values)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file

    def refuse(self, node: Any, text: str) -> ConfigError:
        line, column = _place(node)
        return ConfigError(f"{self.file}:{line}:{column}: {text}")

    def mapping(self, node: Any, known: tuple[Key, ...], what: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self.refuse(node, f"{what} must be a map of keys such as `{known[0].name}:`, and is {_kind(node)}")
        table = {key.name: key for key in known}
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else ""
            key = table.get(name)
            if key is None:
                raise self.refuse(name_node, f"unknown key {name!r}{_suggest(name, list(table))}")
            if key.field in values:
                raise self.refuse(name_node, f"the key {name!r} is there twice")
            value = self.value(value_node, key)
            if value is not None:
                values[key.field] = value
        return values

    def value(self, node: Any, key: Key) -> Any:
        if _null(node):
            return None
        if key.kind == keys.TEXT:
            text = self.text(node, key.name)
            if key.choices and text not in key.choices:
                hint = _suggest(text, list(key.choices)) or f"; write one of {', '.join(key.choices)}"
                raise self.refuse(node, f"{key.name}: {text!r} is not one of them{hint}")
            return text
        if key.kind == keys.FLAG:
            if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:bool":
                raise self.refuse(node, f"{key.name}: must be true or false, and is {_kind(node)}")
            return node.value.lower() in ("true", "yes", "on")
        if key.kind == keys.LIST:
            return tuple(self.text(item, key.name) for item in self.items(node, key.name))
        if key.kind == keys.PATTERNS:
            return tuple(self.pattern(item, key.name) for item in self.items(node, key.name))
        if key.kind == keys.MAP:
            return self.strings(node, key.name)
        if key.kind == keys.NAMES:
            if isinstance(node, yaml.MappingNode):
                return tuple(self.text(name, key.name) for name, _ in node.value)
            return tuple(self.text(item, key.name) for item in self.items(node, key.name))
        if key.kind == keys.SECTION:
            return _mock(self.mapping(node, key.keys, key.name))
        return tuple(
            self.repository(item, self.mapping(item, key.keys, "an entry of repositories"))
            for item in self.items(node, key.name)
        )

    def items(self, node: Any, name: str) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            hint = f"; write [{node.value}]" if isinstance(node, yaml.ScalarNode) else ""
            raise self.refuse(node, f"{name}: must be a list, and is {_kind(node)}{hint}")
        return list(node.value)

    def text(self, node: Any, name: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or _null(node):
            raise self.refuse(node, f"{name}: must be text, and is {_kind(node)}")
        if "\0" in node.value:
            raise self.refuse(node, f"{name}: has a NUL character in it")
        return str(node.value)

    def pattern(self, node: Any, name: str) -> Pattern:
        mark = node.start_mark
        if isinstance(node, yaml.MappingNode):
            path, optional = Key("path", keys.TEXT, ""), Key("optional", keys.FLAG, "")
            values = self.mapping(node, (path, optional), name)
            if not values.get("path"):
                raise self.refuse(node, f"{name}: the entry has no `path`")
            text, may_lack = values["path"], values.get("optional", False)
        else:
            text, may_lack = self.text(node, name), False
        if not text.strip():
            raise self.refuse(node, f"{name}: an empty path; write / for everything")
        if ".." in text.split("/"):
            raise self.refuse(node, f"{name}: {text!r} has a '..' in it, and paths start at the package's root")
        return Pattern(text, may_lack, mark.line + 1, mark.column + 1, self.file)

    def strings(self, node: Any, name: str) -> Mapping[str, str]:
        if not isinstance(node, yaml.MappingNode):
            raise self.refuse(node, f"{name}: must be a map of names to texts, and is {_kind(node)}")
        return {self.text(key, name): self.text(value, name) for key, value in node.value}

    def repository(self, node: Any, values: dict[str, Any]) -> Repository:
        if not values.get("url"):
            raise self.refuse(node, "repositories: the entry has no `url`")
        return Repository(**values)


def _mock(values: dict[str, Any]) -> Mock:
    renamed = {"debugdeps": "debug_deps", "debugpaths": "debug_paths"}
    return Mock(**{renamed.get(name, name): value for name, value in values.items()})


def _places(root: Any) -> Iterator[tuple[str | tuple[str, str], tuple[int, int]]]:
    """Where each value is, and each text of a list: Spec.places."""
    for name, value in root.value:
        yield name.value, _place(value)
        for item in value.value if isinstance(value, yaml.SequenceNode) else ():
            if isinstance(item, yaml.ScalarNode):
                yield (name.value, item.value), _place(item)


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _null(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _kind(node: Any) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if _null(node) else f"{node.value!r}"


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
